"""Pictures outside the web page: charts as SVG text for evidence, model cards and documents."""
