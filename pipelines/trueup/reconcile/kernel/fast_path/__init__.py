"""The fast path: takes out, in bulk, records that need not go through all steps."""
