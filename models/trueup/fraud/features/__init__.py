"""Windowed features by declaration, over history, in partitions and step by step."""
