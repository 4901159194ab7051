"""The page of finding kinds and causes, from their registry."""

from __future__ import annotations

from markdown_text import code, plain, table

from trueup.reconcile.domain.invoice_kinds import INVOICE_KINDS, INVOICE_REASONS
from trueup.reconcile.domain.kinds import CAUSES, KINDS

_PRODUCERS = {
    "reconcile": "Findings of reconciliation",
    "quality": "Findings about feeds",
    "fraud": "Findings about fraud scores",
}


def finding_reference() -> str:
    """Return the page: each kind of finding with its evidence and next step, and each cause of a change."""
    parts = [
        "# Kinds and causes of findings\n",
        "The views `finding_kinds` and `finding_causes` have the same content. *Proven*: the impact is exact and counts in the "
        "leakage views. *Bounded*: the money is a range, in `exposure_by_day` only. *None*: the kind has no money of its own.\n",
    ]
    producers = dict.fromkeys(kind.producer for kind in KINDS.values())
    for producer in producers:
        rows = [
            (code(kind.name), plain(kind.meaning), kind.evidence, plain(kind.next_step), kind.missing_side or "")
            for kind in KINDS.values()
            if kind.producer == producer
        ]
        heads = ("kind", "meaning", "evidence", "next step", "provisional while this stream is incomplete")
        parts += [f"## {_PRODUCERS.get(producer, producer.capitalize())}\n", table(heads, rows)]
    parts += ["## Causes of a change\n", table(("cause", "meaning"), [(code(name), plain(text)) for name, text in CAUSES.items()])]
    rows = [(code(kind.name), plain(kind.meaning), kind.money, plain(kind.next_step)) for kind in INVOICE_KINDS.values()]
    reasons = [(code(name), plain(text)) for name, text in INVOICE_REASONS.items()]
    parts += [
        "## Invoice findings\n", "The view `invoice_kinds` has the same content.\n",
        table(("kind", "meaning", "money", "next step"), rows), table(("reason", "meaning"), reasons),
    ]  # fmt: skip
    return "\n".join(parts)
