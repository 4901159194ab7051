"""Commands of investigation: cases, decisions, money and evidence."""
