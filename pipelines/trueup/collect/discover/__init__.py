"""Source units: which files a source names, whether they are complete, what their sender declares of them."""
