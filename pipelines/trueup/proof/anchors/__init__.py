"""Anchors: small signed statements of the log's newest position and hashes, with which a later state of the lake is compared.

The steps, in order:

* `rows`: a digest for each commit of each table,
* `blocks`: digests of many commits, as few as possible,
* `head`: the content of a statement,
* `statement` and `keys`: reading and signing,
* `destination`: where anchors are written,
* `make`: one anchor,
* `check`: the lake compared with anchors.
"""
