"""Quality: expectations of records, completeness of feeds, and the gate for days that fail them."""
