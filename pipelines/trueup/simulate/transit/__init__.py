"""A wholesale service whose records pass four systems: switch, mediation, rating and invoice, with losses at each hop."""
