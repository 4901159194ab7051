"""Contracts with rentals, fees and discounts: what each period costs day by day, how billing errs, and the files of both."""
