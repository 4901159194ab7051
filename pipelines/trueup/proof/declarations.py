"""Declarations and recorded configurations, whose ids are made of their content."""

from __future__ import annotations

from trueup.events.identity import digest16_sql
from trueup.log.lake import Configuration
from trueup.proof.evidence import Check, Evidence, Found

CHECK = "declarations"


def check_declarations(evidence: Evidence) -> Check:
    """Computes the id of every declaration and recorded configuration again; names those that content and id disagree on."""
    found = Found(CHECK)
    made = digest16_sql("concat_ws(';', '1;declaration', d.kind, d.source, d.through, d.content::VARCHAR, p.position)")
    for row in evidence.rows("declaration_ids", made=made):
        about = f" of {row['source']}" if row["source"] else ""
        detail = "the id is not the one that its content and position make: it was changed after it was declared"
        found.tampered(f"declaration {row['kind']}{about} at position {row['position']}", detail)
    configurations = evidence.rows("configurations")
    for row in configurations:
        where = f"configuration {row['configuration']}"
        if row["content"] is None:
            found.tampered(where, "rows of the log refer to it, but it is missing")
        elif Configuration(row["kind"], row["content"]).id != row["configuration"]:
            found.tampered(where, f"the id is not the one that the content makes: the {row['kind']} was changed")
    return Check(CHECK, evidence.lake.count("declaration") + len(configurations), "declaration", found.all())
