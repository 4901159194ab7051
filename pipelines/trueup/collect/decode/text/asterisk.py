"""The `asterisk` preset reads call records of an Asterisk exchange (module `cdr_custom`): 25 quoted fields without a header.

A call that is forked, queued or transferred has several records with one `uniqueid`, which is the session key. The record key adds
the start and the channel reached. The charged duration is `billsec`, the time since the call was answered. An unanswered call is a
record of duration 0.
"""

from __future__ import annotations

from trueup.config import ColumnRule, SourceConfig

FIELDS = (
    "start", "clid", "src", "dst", "dcontext", "channel", "dstchannel", "lastapp", "lastdata", "duration", "billsec",
    "disposition", "amaflags", "accountcode", "uniqueid", "userfield", "recordingfile", "did", "cnum", "cnam",
    "outbound_cnum", "outbound_cnam", "dst_cnam", "sequence", "linkedid",
)  # fmt: skip
"""The fields in order, by Asterisk's names; `[source.columns]` refers to them by these names."""

_COLUMNS = {
    "record_key": ColumnRule(columns=("uniqueid", "start", "dst", "dstchannel")),
    "session_key": ColumnRule(column="uniqueid"),
    "account": ColumnRule(column="accountcode"),
    "subscriber": ColumnRule(column="src"),
    "peer": ColumnRule(column="dst"),
    "started_at": ColumnRule(column="start", time_format="%d/%m/%Y %H:%M:%S"),
    "quantity": ColumnRule(column="billsec", unit="s"),
}
_CONSTANTS = {"service": "voice"}


def apply_preset(source: SourceConfig) -> SourceConfig:
    """Return the source with the preset's columns and constants, where the source configures none of its own."""
    configured = {**source.columns, **source.constants}
    columns = {name: rule for name, rule in _COLUMNS.items() if name not in configured} | source.columns
    constants = {name: text for name, text in _CONSTANTS.items() if name not in configured} | source.constants
    return source.model_copy(update={"columns": columns, "constants": constants})
