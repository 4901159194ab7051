"""Decisions: ids made of what they say, about findings, cases and transactions that the log holds."""

from __future__ import annotations

from trueup.proof.evidence import Check, Evidence, Found

CHECK = "decisions"


def check_decisions(evidence: Evidence) -> Check:
    """Computes the id of every decision again, and looks for what it decides on."""
    found = Found(CHECK)
    for row in evidence.rows("decision_ids"):
        where = f"decision {row['decision']} of {row['decided_by'] or 'nobody named'} on {row['finding_id'].hex()}"
        if row["bad_id"]:
            found.tampered(where, "the id is not the one that the decision makes: it was changed after it was made")
        if row["about_nothing"]:
            found.tampered(where, "the log has no finding, case or suspicious transaction of this id")
    return Check(CHECK, evidence.lake.count("decision"), "decision", found.all())
