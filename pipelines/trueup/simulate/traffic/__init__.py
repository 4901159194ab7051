"""Simulate sessions, and the usage records that network elements write about them."""
