"""The vocabulary of reconciliation: records, policies, tariff terms, frontiers and bookings."""
