"""Decisions: ids from their content, and subjects that the log has: findings, cases and transactions."""

from __future__ import annotations

from trueup.proof.evidence import Check, Evidence, FaultCollector

CHECK = "decisions"


def check_decisions(evidence: Evidence) -> Check:
    """Recompute the id of every decision, and look up its subject."""
    faults = FaultCollector(CHECK)
    for row in evidence.rows("decision_ids"):
        where = f"decision {row['decision']} of {row['decided_by'] or 'an unnamed person'} on {row['finding_id'].hex()}"
        if row["bad_id"]:
            faults.tampered(where, "the id is not that of its content: it was changed after it was recorded")
        if row["has_no_subject"]:
            faults.tampered(where, "the log has no finding, case or suspicious transaction of this id")
    return Check(CHECK, evidence.lake.count("decision"), "decision", faults.all())
