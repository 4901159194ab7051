"""Access of user queries: what they may read, and what they may cost."""
