"""Which days are due, their validation by Great Expectations, and the findings of failed expectations."""
