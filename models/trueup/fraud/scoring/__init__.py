"""Models in force, scores with reasons, rules."""
