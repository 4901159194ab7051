"""Score transactions by the models in force and by rules, with reasons."""
