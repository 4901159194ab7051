"""The fast path: records that need not go through all steps, taken out in bulk."""
