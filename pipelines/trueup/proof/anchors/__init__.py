"""Anchors: small signed statements of the log's head, against which a later state of the lake is compared.

The steps, in order: `rows` (a digest for each commit of each table), `blocks` (digests of many commits, as few as possible),
`head` (what a statement holds), `keys` and `document` (signing, reading), `destination` (where anchors are written), `make` (one
anchor), `check` (the lake compared with anchors).
"""
