"""Quality: what a record must be, whether a feed is whole, and what may be decided while it is not."""
