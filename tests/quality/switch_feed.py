"""A feed of one switch, with which the settings of several tests begin."""

SWITCH = """
[lake]
buckets = 2
[[source]]
name = "msc"
stream = "usage"
path = "landing/*.csv"
[source.columns]
record_key = "id"
subscriber = "caller"
started_at = "at"
quantity = "seconds"
node = "node"
[source.constants]
service = "voice"
"""
