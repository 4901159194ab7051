"""Form sessions and charge groups: choose the content of each record that counts, and group the records."""
