"""Simulate contracts with rentals, fees and discounts: their day-by-day prices, billing's mistakes, and the files of both."""
