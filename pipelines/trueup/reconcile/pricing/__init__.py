"""The price of sessions: flat prices, the tariff book, and allowance pools along the log."""
