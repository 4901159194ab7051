"""Effects of decisions since the copy of the views, computed by the views themselves for the findings and transactions concerned.

The views and their steps run over other sources. In place of the log they read the copy's rows of the findings and transactions
that decisions concern, and the lake's decisions. So the cost of a decision depends on the size of its case, and no rule is
repeated. Pages read the schema `shown`: the copy, with these results in place of its rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from trueup.config import Project
from trueup.log.catalog.connection import localise
from trueup.warehouse import install_views
from trueup.warehouse.shared_steps import SharedSteps, Source
from trueup.workbench.reading.copying import COPIED
from trueup.workbench.reading.statements import has_statement, statement_text

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = (*COPIED, "loose_findings")
"""The tables that pages read: each is selected by its file in `queries/shown/`, or else is the table of the copy."""
_CONCERNED = ("case", "finding", "change", "provisional", "filing", "suspicion", "fraud_money", "decision")
"""Files of `queries/decided/`, in the order in which each may read the temporary tables `concerned_NAME` before it."""
_GIVEN: dict[Source, str] = {
    ("lake.events", "decision"): "temp.main.concerned_decision",
    ("lake.events", "position"): "copy.kept.position",
    ("steps", "case_opening"): "copy.kept.case_opening",
    ("steps", "finding_change"): "temp.main.concerned_change",
    ("steps", "finding_provisional"): "temp.main.concerned_provisional",
    ("steps", "case_filing"): "temp.main.concerned_filing",
    ("steps", "suspicion"): "temp.main.concerned_suspicion",
    ("steps", "fraud_money"): "temp.main.concerned_fraud_money",
}
"""The sources that views read in place of the log, and of steps that no decision changes."""
_MOVES_FINDINGS = ("merged", "split")


class Decided:
    """The shown state of one copy: its tables, with the changes by decisions since then.

    `snapshot` is the commit up to which decisions are shown, `commits` the number of those that brought them. `needs_copy` is true
    if a decision has changed more than this class computes. Such a decision moved findings to another case, or concerned a feed,
    which changes which findings are provisional.
    """

    def __init__(self, root: duckdb.DuckDBPyConnection, project: Project, snapshot: int) -> None:
        self._root, self._project = root, project
        self.snapshot, self.commits, self.needs_copy = snapshot, 0, False
        install_views.create_macros(root)
        root.execute(statement_text("decided/results"))
        root.execute("CREATE SCHEMA shown")
        for table in (*SHOWN, "case_sums"):
            path = f"shown/{table}"
            source = statement_text(path) if has_statement(path) else f"FROM copy.main.{table}"
            root.execute(f"CREATE VIEW shown.{table} AS {source}")

    def apply(self, decisions: pa.Table, snapshot: int) -> bool:
        """Show decisions: rows of the log's table committed after `self.snapshot` and up to `snapshot`.

        Return whether only a new copy can show all of their changes.
        """
        moves_more = False
        if decisions.num_rows:
            with self._root.cursor() as connection:
                localise(connection)
                install_views.set_variables(connection, self._project)
                connection.register("fresh_decisions", decisions)
                connection.execute("BEGIN")
                try:
                    moves_more = self._compute(connection)
                    connection.execute("COMMIT")
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
            self.commits += len(decisions["snapshot_id"].unique())
        self.snapshot, self.needs_copy = snapshot, self.needs_copy or moves_more
        return moves_more

    def _compute(self, connection: duckdb.DuckDBPyConnection) -> bool:
        connection.execute("INSERT INTO decided.decisions BY NAME FROM fresh_decisions")
        connection.execute("CREATE TEMP TABLE subject AS SELECT DISTINCT lower(hex(d.finding_id)) AS id FROM fresh_decisions d")
        for name in _CONCERNED:
            connection.execute(f"CREATE TEMP TABLE concerned_{name} AS {statement_text(f'decided/{name}')}")
        steps = SharedSteps(connection, with_views=True, given=_GIVEN)
        for name in ("findings", "transactions", "case_sums", "accounts"):
            connection.execute(steps.read(statement_text(f"decided/show_{name}")))
        # These two cover all findings and cases, not only those concerned.
        precision = SharedSteps(connection, given={("steps", "finding_now"): "memory.shown.findings"})
        connection.execute(f"CREATE TEMP TABLE precision_now AS {precision.read_view('kind_precision')}")
        steps.give(("steps", "kind_precision"), "temp.main.precision_now")
        steps.give(("steps", "case_sums"), "memory.shown.case_sums")
        connection.execute(steps.read(statement_text("decided/show_cases")))
        return _check_moves_more(connection)


def _check_moves_more(connection: duckdb.DuckDBPyConnection) -> bool:
    row = connection.execute(
        "SELECT EXISTS (FROM temp.main.concerned_finding f WHERE f.control IS NOT NULL)"
        " OR EXISTS (FROM fresh_decisions d WHERE d.decision IN $moves)",
        {"moves": list(_MOVES_FINDINGS)},
    ).fetchone()
    assert row is not None
    return bool(row[0])
