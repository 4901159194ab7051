"""Simulate fraud cases and innocent look-alikes, each by its documented mechanism."""
