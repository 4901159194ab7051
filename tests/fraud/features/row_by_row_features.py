"""A reference implementation of features, row by row: slow, and simple enough to check by reading."""

from __future__ import annotations

import polars as pl

from trueup.fraud.features.feature_spec import Feature, FeatureSet, Ratio

Row = dict[str, object]


def features_of(declared: FeatureSet, events: pl.DataFrame) -> pl.DataFrame:
    first: dict[object, Row] = {}
    rows = events.sort("position", maintain_order=True).to_dicts()
    for row in rows:
        if not row["is_label"]:
            first.setdefault(row["event_id"], row)
    labels = [row for row in rows if row["is_label"]]
    results = []
    for row in events.filter(~pl.col("is_label")).unique("event_id", keep="first", maintain_order=True).to_dicts():
        own = first[row["event_id"]]
        values = {name: own[name] for name in declared.own}
        values |= {f.name: value(f, own, list(first.values()), labels) for f in declared.features}
        values |= {r.name: quotient(r, values) for r in declared.ratios}
        results.append({"event_id": own["event_id"], **{n: values[n] for n in declared.names}})
    return pl.DataFrame(results, infer_schema_length=None)


def value(f: Feature, own: Row, events: list[Row], labels: list[Row]) -> int | None:
    if any(own[part] is None for part in f.entity):
        return None
    if f.track == "label":
        past = [r for r in labels if r["at_us"] <= own["at_us"]]
    else:
        current = (own["at_us"], own["event_id"])
        past = [r for r in events if r["position"] <= own["position"] and (r["at_us"], r["event_id"]) <= current]
    past = [r for r in past if all(r[p] == own[p] for p in f.entity) and r["at_us"] > own["at_us"] - f.window_us]
    past = [r for r in past if (f.where is None or r[f.where]) and (f.of is None or r[f.of] is not None)]
    past.sort(key=lambda r: (r["at_us"], r["event_id"]))
    values = [r[f.of] for r in past] if f.of else []
    before = [r for r in past if r is not own]
    match f.aggregate:
        case "count":
            return len(past)
        case "sum":
            return sum(values)
        case "distinct":
            return len(set(values))
        case "min":
            return min(values, default=None)
        case "max":
            return max(values, default=None)
        case "since_first":
            return own["at_us"] - past[0]["at_us"] if past else None
        case "since_last":
            return own["at_us"] - before[-1]["at_us"] if before else None
        case "open":
            return sum(r[f.of] > own["at_us"] for r in before)


def quotient(r: Ratio, values: Row) -> float | None:
    def weighed(terms):
        parts = [values[c] for c, _ in terms]
        return None if None in parts else sum(v * w for v, (_, w) in zip(parts, terms, strict=True))

    over, under = weighed(r.over), weighed(r.under) if r.under else 1
    return over / under if over is not None and under else None
