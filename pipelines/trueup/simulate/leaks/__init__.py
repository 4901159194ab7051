"""Leaks of the simulated operator: mechanisms, assignment and application."""
