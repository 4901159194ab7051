"""The facts: Arrow schemas of the streams, identity of a record, buckets."""
