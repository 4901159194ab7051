"""What must hold of usage: a record that is misread here is a session that is never billed, or billed wrong."""

from __future__ import annotations

from trueup.quality.expectation import Expectation, Fact

_LONGEST_MICROS = 31 * 86_400 * 10**6 * 10**6


def _usage(name: str, kind: str, severity: str, notes: str, **arguments: object) -> Expectation:
    return Expectation(name, "usage", kind, arguments, severity, notes)  # type: ignore[arg-type]


USAGE: tuple[Expectation, ...] = (
    _usage(
        "a record is named", "expect_column_value_lengths_to_be_between", "quarantine",
        "An empty record key makes all such records one: the rest count as conflicts, and what they carried is billed to nobody.",
        column="record_key", min_value=1,
    ),
    _usage(
        "a service is named", "expect_column_value_lengths_to_be_between", "quarantine",
        "An empty service has no price, so that everything under it is unrated: expected money of zero hides the leak.",
        column="service", min_value=1,
    ),
    _usage(
        "parts are counted from zero", "expect_column_values_to_be_between", "quarantine",
        "A negative part number is a misread field. Parts decide which charge of a session is the main one.",
        column="partial_no", min_value=0,
    ),
    _usage(
        "usage is not negative", "expect_column_values_to_be_between", "mark",
        "A negative quantity takes expected money away from a session and hides as much leakage.",
        column="quantity_micros", min_value=0,
    ),
    _usage(
        "a quantity is no counter gone wrong", "expect_column_values_to_be_between", "mark",
        "A counter read as a difference, or bytes read as kilobytes, makes one record worth more than a day.",
        column="quantity_micros", max_value=_LONGEST_MICROS,
    ),
    _usage(
        "somebody used it", "expect_column_values_to_not_be_null", "note",
        "Usage without a subscriber can be matched by its key alone and is lost to anybody's bill otherwise.",
        column="subscriber",
    ),
    _usage(
        "a number is one", "expect_column_values_to_match_regex", "note",
        "A subscriber that is no number of E.164 (or a tag) matches no charge, and its usage is told as unbilled.",
        column="subscriber", regex=r"^[0-9A-Za-z+*#@._:-]{1,64}$",
    ),
    _usage(
        "an event is there once", "expect_column_values_to_be_unique", "block",
        "Ids are of content: one id twice means that taking in failed, and every sum of the day is too high.",
        column="event_id",
    ),
    _usage(
        "the node is known", "expect_column_values_to_be_in_set", "note",
        "A node nobody has seen before is a new switch or a misread field; its traffic has no profile to be missed by.",
        column="node", value_set=Fact("known_nodes"),
    ),
    _usage(
        "subscribers are filled in as before", "expect_column_proportion_of_non_null_values_to_be_between", "mark",
        "An upgrade that leaves the number out makes usage unbillable at once, and nothing fails.",
        column="subscriber", min_value=Fact("least_share_of_subscriber"), max_value=1.0,
    ),
    _usage(
        "other parties are filled in as before", "expect_column_proportion_of_non_null_values_to_be_between", "note",
        "Without the other party there is no destination, and no price by destination.",
        column="peer", min_value=Fact("least_share_of_peer"), max_value=1.0,
    ),
    _usage(
        "quantities are as large as before", "expect_column_mean_to_be_between", "note",
        "A mean far from that of earlier days is a unit that changed: seconds for milliseconds, bytes for kilobytes.",
        column="quantity_micros", min_value=Fact("least_mean_quantity"), max_value=Fact("greatest_mean_quantity"),
    ),
)  # fmt: skip
