from __future__ import annotations

import polars as pl
import pytest
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from repetitions import on_many_random, on_random
from row_by_row_features import features_of

from trueup.fraud.features.feature_engine import history, in_partitions, join_entity_features
from trueup.fraud.features.feature_spec import AGGREGATES, Feature, FeatureError, FeatureSet, ratio
from trueup.fraud.features.window_state import State, StateError, advance

SCHEMA = {
    "event_id": pl.Int64, "at_us": pl.Int64, "position": pl.Int64, "is_label": pl.Boolean, "caller": pl.String,
    "peer": pl.String, "seconds": pl.Int64, "until_us": pl.Int64, "premium": pl.Boolean, "fraud": pl.Int64,
}  # fmt: skip
OF = {"sum": "seconds", "distinct": "peer", "min": "seconds", "max": "seconds", "open": "until_us"}
EVERY = tuple(
    Feature(f"{name}_{'_'.join(entity)}_{window}{'_premium' if where else ''}", entity, window, name, OF.get(name), where)
    for name in AGGREGATES
    for entity, window, where in (
        (("caller",), 3, None),
        (("caller",), 10, "premium"),
        (("peer",), 4, None),
        (("caller", "peer"), 6, None),
    )
)
KNOWN = (
    Feature("known_frauds", ("peer",), 8, "sum", "fraud", track="label"),
    Feature("known_labels", ("peer",), 8, "count", track="label"),
)
ALL = FeatureSet(
    ("seconds",), (*EVERY, *KNOWN), (ratio("risk", "known_frauds", "known_labels"), ratio("mean", "sum_caller_3", "count_caller_3"))
)


def events_of_rows(*rows: tuple) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=SCHEMA, orient="row")


def call(number: int, at: int, caller: str | None = "A", peer: str | None = "X", *, position: int = 1, seconds: int | None = 1,
         lasts: int = 1, premium: bool | None = False) -> tuple:  # fmt: skip
    return (number, at, position, False, caller, peer, seconds, at + lasts, premium, None)


def label(number: int, known: int, peer: str = "X", *, fraud: int = 1) -> tuple:
    return (number, known, 0, True, "A", peer, None, None, None, fraud)


def one(feature: Feature, events: pl.DataFrame) -> list[object]:
    return history(FeatureSet((), (feature,)), events)[feature.name].to_list()


def test_a_window_holds_its_own_end_and_not_its_beginning() -> None:
    calls = Feature("calls", ("caller",), 10, "count")
    assert one(calls, events_of_rows(call(1, 0), call(2, 10), call(3, 11), call(4, 20))) == [1, 1, 2, 2]


def test_at_one_instant_the_event_id_decides_the_order() -> None:
    calls = Feature("calls", ("caller",), 10, "count")
    assert one(calls, events_of_rows(call(9, 5), call(3, 5), call(7, 5))) == [3, 1, 2]


def test_a_late_event_covers_earlier_ones_and_changes_no_feature_of_an_earlier_position() -> None:
    calls = Feature("calls", ("caller",), 100, "count")
    events = events_of_rows(call(1, 10), call(2, 30), call(3, 20, position=2), call(4, 40, position=3))
    assert one(calls, events) == [1, 2, 2, 4]


def test_a_missing_peer_has_no_features() -> None:
    calls = Feature("calls", ("peer",), 100, "count")
    assert one(calls, events_of_rows(call(1, 1, peer=None), call(2, 2, peer=None), call(3, 3))) == [None, None, 1]


def test_open_calls_are_counted_until_they_end() -> None:
    open_calls = Feature("open", ("caller",), 1_000, "open", "until_us")
    events = events_of_rows(
        call(1, 0, lasts=10), call(2, 5, lasts=10), call(3, 10, lasts=1), call(4, 14, lasts=1), call(5, 15, lasts=1)
    )
    assert one(open_calls, events) == [0, 1, 1, 1, 0]


def test_a_label_counts_from_the_instant_it_became_known() -> None:
    frauds = Feature("frauds", ("peer",), 100, "sum", "fraud", track="label")
    assert one(frauds, events_of_rows(call(1, 1), call(2, 9), call(3, 10), label(1, 10))) == [0, 0, 1]


def test_hiding_a_label_changes_no_feature_before_it_became_known() -> None:
    events = events_of_rows(call(1, 1), call(2, 9), call(3, 10), label(1, 10), label(2, 15))
    hidden = events.filter(~pl.col("is_label") | (pl.col("at_us") < 10))
    transactions, unseen = history(ALL, events), history(ALL, hidden)
    assert_frame_equal(transactions.head(2), unseen.head(2))
    assert transactions["known_frauds"].to_list() == [0, 0, 1]
    assert unseen["known_frauds"].to_list() == [0, 0, 0]


def test_fractions_are_refused_since_their_sums_depend_on_their_order() -> None:
    events = events_of_rows(call(1, 1)).with_columns(seconds=pl.lit(0.5))
    with pytest.raises(FeatureError, match="seconds"):
        one(Feature("s", ("caller",), 10, "sum", "seconds"), events)


def test_a_sum_that_does_not_fit_is_an_error_and_not_a_wrong_number() -> None:
    events = events_of_rows(call(1, 1, seconds=2**62), call(2, 2, seconds=2**62))
    with pytest.raises(FeatureError, match="64 bits"):
        one(Feature("s", ("caller",), 10, "sum", "seconds"), events)


def test_values_with_a_range_beyond_64_bits_are_counted_as_different() -> None:
    values = Feature("values", ("caller",), 100, "distinct", "seconds")
    wide = [call(n, n, seconds=s) for n, s in enumerate((-(2**62), 2**62, -(2**62), 0, 2**62 + 1))]
    assert one(values, events_of_rows(*wide)) == [1, 2, 2, 3, 4]


def test_a_window_longer_than_the_history_covers_all_of_it() -> None:
    calls = Feature("calls", ("caller",), 10**15, "count")
    assert one(calls, events_of_rows(call(1, 1), call(2, 10**9))) == [1, 2]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Feature("f", ("a",), 0, "count"), "longer than 0"),
        (lambda: Feature("f", ("a",), 1, "sum"), "needs a column"),
        (lambda: Feature("f", ("a",), 1, "count", "b"), "needs no column"),
        (lambda: Feature("f", (), 1, "count"), "needs an entity"),
        (lambda: Feature("f", ("a",), 1, "median"), "invalid aggregate"),  # type: ignore[arg-type]
        (lambda: FeatureSet(("f",), (Feature("f", ("a",), 1, "count"),)), "two features"),
        (lambda: FeatureSet((), (), (ratio("r", "nothing"),)), "an unknown feature"),
        (lambda: history(ALL, events_of_rows(call(1, 1)).drop("premium")), "no column 'premium'"),
    ],
)
def test_an_invalid_declaration_is_refused(wrong, message) -> None:
    with pytest.raises(FeatureError, match=message):
        wrong()


def test_the_hash_changes_with_every_setting_that_changes_a_value() -> None:
    base = FeatureSet(("seconds",), (Feature("f", ("caller",), 10, "count"),))
    others = [
        FeatureSet(("seconds",), (Feature("f", ("caller",), 11, "count"),)),
        FeatureSet(("seconds",), (Feature("f", ("caller",), 10, "count", where="premium"),)),
        FeatureSet(("seconds",), base.features, facts_version="2"),
        FeatureSet((), base.features),
    ]
    assert len({base.hash, *(o.hash for o in others)}) == 5


# --- laws -------------------------------------------------------------------------------------------------------------

_TRANSACTION = st.tuples(
    st.integers(0, 40), st.sampled_from(["A", "B", None]), st.sampled_from(["X", "Y", "Z", None]), st.integers(1, 4),
    st.one_of(st.none(), st.integers(-5, 5)), st.integers(0, 6), st.sampled_from([True, False, None]),
)  # fmt: skip
_LABELS = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["X", "Y", "Z"]), st.integers(0, 1)), max_size=5)


@st.composite
def event_logs(draw: st.DrawFn) -> pl.DataFrame:
    rows = draw(st.lists(_TRANSACTION, min_size=1, max_size=25))
    ids = draw(st.permutations(range(len(rows))))
    events = [
        call(n, at, caller, peer, position=p, seconds=s, lasts=lasts, premium=premium)
        for n, (at, caller, peer, p, s, lasts, premium) in zip(ids, rows, strict=True)
    ]
    # Some events are delivered again, later or at the same position.
    again = draw(st.lists(st.tuples(st.sampled_from(events), st.integers(0, 3)), max_size=4))
    events += [(*e[:2], e[2] + later, *e[3:]) for e, later in again]
    known = [label(i, at, peer, fraud=fraud) for i, (at, peer, fraud) in enumerate(draw(_LABELS))]
    return events_of_rows(*draw(st.permutations(events + known)))


def ordered(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort("event_id")


def comparable(frame: pl.DataFrame) -> pl.DataFrame:
    expected = {n: pl.Float64 if n in ("risk", "mean") else pl.Int64 for n in frame.columns}
    return ordered(frame.cast(expected))


def check_history(events: pl.DataFrame) -> None:
    assert_frame_equal(comparable(history(ALL, events)), comparable(features_of(ALL, events)))


test_history_equals_the_row_by_row_reference = on_random(event_logs(), examples=60)(check_history)
test_history_equals_the_row_by_row_reference_of_many_logs = on_many_random(event_logs(), examples=300)(check_history)


def check_partitions(events: pl.DataFrame, count: int) -> None:
    assert_frame_equal(in_partitions(ALL, events, count), history(ALL, events))


test_partitions_equal_history = on_random(event_logs(), st.integers(1, 4), examples=20)(check_partitions)
test_partitions_equal_history_of_many_logs = on_many_random(event_logs(), st.integers(1, 4), examples=60)(check_partitions)


def check_states(events: pl.DataFrame, cut: int) -> None:
    state = State.of(ALL, events.clear())
    found = []
    for low, high in ((0, cut), (cut, cut + 1), (cut + 1, 9)):
        # Labels count by their time, so all of them are in the first batch here.
        part = events.filter(pl.col("is_label") if low == high == 0 else (pl.col("position") > low) & (pl.col("position") <= high))
        part = pl.concat([part, events.filter("is_label")])
        features, state = advance(ALL, State.unpack(state.pack(), ALL), part, lateness_us=50)
        found.append(features)
    expected = history(ALL, events)
    assert_frame_equal(comparable(pl.concat(found)), comparable(expected))


test_incremental_features_equal_history_through_serialized_states_and_repeated_events = on_random(
    event_logs(), st.integers(0, 3), examples=25
)(check_states)
test_incremental_features_equal_history_through_serialized_states_and_repeated_events_of_many_logs = on_many_random(
    event_logs(), st.integers(0, 3), examples=100
)(check_states)


def check_joined_features(events: pl.DataFrame) -> None:
    parts = []
    for own in ALL.per_entity:
        # One worker per value of the entity's first column, as in a stream keyed by it.
        key, found = pl.col(own.entities[0][0]), []
        for value in events.select(key).to_series().unique().to_list():
            of_value, state = events.filter(key.eq_missing(pl.lit(value))), State.of(own, events.clear())
            for low, high in ((0, 2), (2, 9)):
                arrived = of_value.filter(pl.col("is_label") | ((pl.col("position") > low) & (pl.col("position") <= high)))
                features, state = advance(own, state, arrived, lateness_us=50)
                found.append(features)
        parts.append(pl.concat(found))
    transactions = events.filter(~pl.col("is_label")).sort("position", maintain_order=True).unique("event_id", keep="first")
    assert_frame_equal(comparable(join_entity_features(ALL, transactions, parts)), comparable(history(ALL, events)))


test_features_computed_per_entity_and_joined_equal_history = on_random(event_logs(), examples=12)(check_joined_features)
test_features_computed_per_entity_and_joined_equal_history_of_many_logs = on_many_random(event_logs(), examples=40)(
    check_joined_features
)


def check_instant(events, instant, random) -> None:
    past, future = events.filter(pl.col("at_us") <= instant), events.filter(pl.col("at_us") > instant)
    columns = {name: random.sample(future[name].to_list(), future.height) for name in ("caller", "peer", "seconds", "premium")}
    shuffled = future.with_columns(pl.Series(n, v, dtype=SCHEMA[n]) for n, v in columns.items())
    ids = past.filter(~pl.col("is_label"))["event_id"].unique()
    then = [ordered(history(ALL, pl.concat([past, f]))).filter(pl.col("event_id").is_in(ids)) for f in (future, shuffled)]
    assert_frame_equal(*then)


test_shuffling_events_after_an_instant_changes_no_feature_up_to_it = on_random(
    event_logs(), st.integers(0, 40), st.randoms(), examples=30
)(check_instant)
test_shuffling_events_after_an_instant_changes_no_feature_up_to_it_of_many_logs = on_many_random(
    event_logs(), st.integers(0, 40), st.randoms(), examples=100
)(check_instant)


def test_an_event_delivered_twice_in_one_batch_has_its_first_position() -> None:
    declared = FeatureSet((), (Feature("calls", ("caller",), 10, "count"),))
    twice = events_of_rows(call(1, 5, position=4), call(2, 6, position=4), call(2, 6, position=3))
    features, _ = advance(declared, State.of(declared, events_of_rows()), twice, lateness_us=5)
    assert dict(features.iter_rows()) == {1: 1, 2: 1}
    assert dict(history(declared, twice).iter_rows()) == {1: 1, 2: 1}


def test_a_state_drops_events_outside_every_future_window() -> None:
    declared = FeatureSet((), (Feature("calls", ("caller",), 10, "count"),))
    state = State.of(declared, events_of_rows())
    for at in range(0, 100, 5):
        features, state = advance(declared, state, events_of_rows(call(at, at)), lateness_us=5)
        assert features["calls"].to_list() == [min(2, at // 5 + 1)]
    assert state.rows["at_us"].to_list() == [85, 90, 95]


def test_a_transaction_older_than_the_state_covers_is_an_error() -> None:
    declared = FeatureSet((), (Feature("calls", ("caller",), 10, "count"),))
    _, state = advance(declared, State.of(declared, events_of_rows()), events_of_rows(call(1, 1_000)), lateness_us=5)
    with pytest.raises(StateError, match="older than the state"):
        advance(declared, state, events_of_rows(call(2, 900)), lateness_us=5)


def test_a_state_of_other_features_of_another_version_or_damaged_is_refused() -> None:
    declared = FeatureSet((), (Feature("calls", ("caller",), 10, "count"),))
    other = FeatureSet((), (Feature("calls", ("caller",), 11, "count"),))
    packed = State.of(declared, events_of_rows(call(1, 1))).pack()
    with pytest.raises(StateError, match="other features"):
        State.unpack(packed, other)
    with pytest.raises(StateError, match="damaged"):
        State.unpack(packed[: len(packed) // 2], declared)
    with pytest.raises(StateError, match="version"):
        State.unpack(packed.replace(b"trueup.state", b"trueup.stale"), declared)
