"""The ledger of truth and its comparison with findings."""
