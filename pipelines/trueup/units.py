"""Units of quantities and money: all are stored as whole millionths."""

MICROS = 1_000_000
"""Millionths of a unit: of a currency unit, a second, a byte or a message; also microseconds of a second."""
