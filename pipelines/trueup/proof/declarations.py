"""Check of declarations and recorded configurations: their ids follow from their content."""

from __future__ import annotations

from trueup.events.identity import digest16_sql
from trueup.log.lake import Configuration
from trueup.proof.evidence import Check, Evidence, FaultCollector

CHECK = "declarations"


def check_declarations(evidence: Evidence) -> Check:
    """Recompute the id of every declaration and recorded configuration, and name each that differs from its content."""
    faults = FaultCollector(CHECK)
    expected_id = digest16_sql("concat_ws(';', '1;declaration', d.kind, d.source, d.through, d.content::VARCHAR, p.position)")
    for row in evidence.rows("declaration_ids", expected_id=expected_id):
        about = f" of {row['source']}" if row["source"] else ""
        detail = "the id is not that of its content and position: it was changed after it was declared"
        faults.tampered(f"declaration {row['kind']}{about} at position {row['position']}", detail)
    configurations = evidence.rows("configurations")
    for row in configurations:
        where = f"configuration {row['configuration']}"
        if row["content"] is None:
            faults.tampered(where, "rows of the log refer to it, but it is missing")
        elif Configuration(row["kind"], row["content"]).id != row["configuration"]:
            faults.tampered(where, f"the id is not that of the content: the {row['kind']} was changed")
    return Check(CHECK, evidence.lake.count("declaration") + len(configurations), "declaration", faults.all())
