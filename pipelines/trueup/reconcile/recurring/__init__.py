"""Charges without usage: compare expected charges of recurring and one-off items with the actual ones."""
