"""Schedule days, validate them by Great Expectations, and record failed expectations as findings."""
