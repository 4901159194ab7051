"""Check of decisions: their ids follow from their content, and the log has their subjects: findings, cases and transactions."""

from __future__ import annotations

import json

from trueup.proof.evidence import Check, Evidence, FaultCollector
from trueup.reconcile.domain.case_ids import case_id_of

CHECK = "decisions"


def check_decisions(evidence: Evidence) -> Check:
    """Recompute the id of every decision and of every case, and look up the subjects of decisions."""
    faults = FaultCollector(CHECK)
    for row in evidence.rows("decision_ids"):
        where = f"decision {row['decision']} of {row['decided_by'] or 'an unnamed person'} on {row['finding_id'].hex()}"
        if row["bad_id"]:
            faults.tampered(where, "the id is not that of its content: it was changed after it was recorded")
        if row["has_no_subject"]:
            faults.tampered(where, "the log has no finding, case or suspicious transaction of this id")
    for row in evidence.rows("case_openings"):
        pattern = [(str(name), str(value)) for name, value in json.loads(row["pattern"])]
        if case_id_of(row["kind"], row["currency"] or "", pattern) != row["case_id"]:
            where = f"case {row['case_id'].hex()}"
            faults.tampered(where, "the id is not that of its kind, currency and pattern: it was changed after it was opened")
    return Check(CHECK, evidence.lake.count("decision"), "decision", faults.all())
