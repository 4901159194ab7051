"""Onboarding: proposes a `trueup.toml` from samples of delivered files, with the evidence for each line."""
