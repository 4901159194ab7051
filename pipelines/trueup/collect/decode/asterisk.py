"""The `asterisk` preset: call records as `cdr_custom` of an Asterisk exchange writes them, 25 quoted fields without a header.

A call that is forked, queued or transferred leaves several records with one `uniqueid`: it ties them together as the
session, and with the start and the channel reached it tells them apart. What a customer is charged for is the time from the
answer on, `billsec`; a call nobody answered has 0 of it and stays a record.
"""

from __future__ import annotations

from trueup.config import ColumnRule, SourceConfig

FIELDS = (
    "start", "clid", "src", "dst", "dcontext", "channel", "dstchannel", "lastapp", "lastdata", "duration", "billsec",
    "disposition", "amaflags", "accountcode", "uniqueid", "userfield", "recordingfile", "did", "cnum", "cnam",
    "outbound_cnum", "outbound_cnam", "dst_cnam", "sequence", "linkedid",
)  # fmt: skip
"""The fields in their order, by the names Asterisk gives them; `[source.columns]` speaks of them by these names."""

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


def filled(source: SourceConfig) -> SourceConfig:
    """The source with the preset's columns and constants wherever it names none of its own."""
    told = {**source.columns, **source.constants}
    columns = {name: rule for name, rule in _COLUMNS.items() if name not in told} | source.columns
    constants = {name: text for name, text in _CONSTANTS.items() if name not in told} | source.constants
    return source.model_copy(update={"columns": columns, "constants": constants})
