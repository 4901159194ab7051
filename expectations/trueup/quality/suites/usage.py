"""Expectations of usage: a misread record is a session without a bill, or with a wrong one."""

from __future__ import annotations

from trueup.quality.expectation import Expectation, Fact

_LONGEST_MICROS = 31 * 86_400 * 10**6 * 10**6


def _usage(name: str, kind: str, severity: str, notes: str, **arguments: object) -> Expectation:
    return Expectation(name, "usage", kind, arguments, severity, notes)  # type: ignore[arg-type]


USAGE: tuple[Expectation, ...] = (
    _usage(
        "a record is named", "expect_column_value_lengths_to_be_between", "quarantine",
        "Records without a record key count as one record: the others become conflicts, and their usage is never billed.",
        column="record_key", min_value=1,
    ),
    _usage(
        "a service is named", "expect_column_value_lengths_to_be_between", "quarantine",
        "An empty service has no price, so its usage is unrated: expected money of zero hides the leakage.",
        column="service", min_value=1,
    ),
    _usage(
        "parts are counted from zero", "expect_column_values_to_be_between", "quarantine",
        "A negative part number is a misread field. The part number decides which charge of a session is the main charge.",
        column="partial_no", min_value=0,
    ),
    _usage(
        "usage is not negative", "expect_column_values_to_be_between", "mark",
        "A negative quantity lowers the expected money of a session and hides as much leakage.",
        column="quantity_micros", min_value=0,
    ),
    _usage(
        "a quantity is no counter gone wrong", "expect_column_values_to_be_between", "mark",
        "A counter read as a difference, or bytes read as kilobytes, makes one record exceed a whole day.",
        column="quantity_micros", max_value=_LONGEST_MICROS,
    ),
    _usage(
        "somebody used it", "expect_column_values_to_not_be_null", "note",
        "Usage without subscriber can match by session key only; without one it reaches no bill.",
        column="subscriber",
    ),
    _usage(
        "a number is one", "expect_column_values_to_match_regex", "note",
        "A subscriber that is neither an E.164 number nor a tag matches no charge, so its usage becomes unbilled.",
        column="subscriber", regex=r"^[0-9A-Za-z+*#@._:-]{1,64}$",
    ),
    _usage(
        "an event is there once", "expect_column_values_to_be_unique", "block",
        "Event ids come from content: a repeated id means that ingestion failed and every sum of the day is too high.",
        column="event_id",
    ),
    _usage(
        "the node is known", "expect_column_values_to_be_in_set", "note",
        "An unknown node is a new switch or a misread field; without a profile its missing traffic raises no finding.",
        column="node", value_set=Fact("known_nodes"),
    ),
    _usage(
        "subscribers are filled in as before", "expect_column_proportion_of_non_null_values_to_be_between", "mark",
        "An upgrade that omits the subscriber makes usage unbillable at once, and no system reports an error.",
        column="subscriber", min_value=Fact("least_share_of_subscriber"), max_value=1.0,
    ),
    _usage(
        "other parties are filled in as before", "expect_column_proportion_of_non_null_values_to_be_between", "note",
        "Usage without the other party has no destination, so no price by destination.",
        column="peer", min_value=Fact("least_share_of_peer"), max_value=1.0,
    ),
    _usage(
        "quantities are as large as before", "expect_column_mean_to_be_between", "note",
        "A mean far from that of earlier days shows a changed unit: seconds for milliseconds, bytes for kilobytes.",
        column="quantity_micros", min_value=Fact("least_mean_quantity"), max_value=Fact("greatest_mean_quantity"),
    ),
)  # fmt: skip
