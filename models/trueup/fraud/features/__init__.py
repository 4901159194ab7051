"""Declared windowed features, computed over history, in partitions, and incrementally."""
