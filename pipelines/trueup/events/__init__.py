"""Events: column types of the streams, identity of a record, buckets."""
