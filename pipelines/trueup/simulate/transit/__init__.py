"""Simulate a wholesale service whose records pass switch, mediation, rating and invoice, with losses at each hop."""
