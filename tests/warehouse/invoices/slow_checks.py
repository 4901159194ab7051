"""The rules of invoices once more, document by document and day by day, in fractions: slow, and written without the views."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from fractions import Fraction

Row = dict[str, str]
Finding = tuple[str | None, ...]
DAY = timedelta(days=1)
RATE, GRACE, UNTIL = Fraction(19, 100), timedelta(days=10), date(2026, 5, 16)
HORIZON = date(2026, 6, 30)


def money(value: Fraction | None) -> str | None:
    """Return an amount as the views show it; every amount here has at most six decimals."""
    if value is None:
        return None
    micros = value * 1_000_000
    assert micros.denominator == 1
    sign, size = ("-" if micros < 0 else ""), abs(int(micros))
    return f"{sign}{size // 1_000_000}.{size % 1_000_000:06}"


def row(
    kind: str, number: str | None, other: str | None, account: str | None, amounts: Sequence[Fraction | None], *more: str | None
) -> Finding:
    """Return a finding; `amounts` are expected and billed, `more` currency and reason."""
    expected, billed = amounts
    impact = None if expected is None or billed is None else expected - billed
    return (kind, number, other, account, money(expected), money(billed), money(impact), *more)


class Books:
    """Invoices, charges and states of a log."""

    def __init__(self, invoices: Sequence[Row], charges: Sequence[Row], states: Sequence[Row]) -> None:
        self.documents, self.charges, self.states = list(invoices), list(charges), list(states)
        self.bills = [d for d in self.documents if d["kind"] == "invoice"]
        self.credits = [d for d in self.documents if d["kind"] == "credit_note"]
        self._of_number = {d["number"]: [d] for d in self.documents}
        self._replaced = {id(former) for d in self.documents if (former := self.former(d)) is not None}
        self._named = {c["invoice_id"] for c in self.charges}
        self._later: dict[str, list[Row]] = defaultdict(list)
        """The documents issued in place of each number, at once or by way of others, and the document itself."""
        for d in self.documents:
            for former in self.line_back(d):
                self._later[former["number"]].append(d)

    def findings(self) -> set[Finding]:
        """Return all findings of documents and accounts."""
        return {
            *self._check_amounts(),
            *self._check_credits(),
            *self._find_repetitions(),
            *self._find_gaps(),
            *self._find_loose_lines(),
        }

    # --- documents ----------------------------------------------------------------------------------------------------

    def replaced(self, d: Row) -> bool:
        return id(d) in self._replaced

    def former(self, d: Row) -> Row | None:
        """Return the document in whose place a document was issued, as long as it is one of its account and kind."""
        named = self._of_number.get(d.get("replaces", ""), [])
        return next((o for o in named if o["account"] == d["account"] and o["kind"] == d["kind"]), None)

    def line_back(self, d: Row) -> list[Row]:
        """Return a document, the one that it replaces, the one that this replaces, and so on."""
        line = [d]
        while (before := self.former(line[-1])) is not None and before not in line:
            line.append(before)
        return line

    def standing_for(self, number: str) -> list[Row]:
        """Return the documents that stand in place of a number; the document itself if nothing replaces it."""
        return [d for d in self._later.get(number, []) if not self.replaced(d)]

    def named_number(self, d: Row) -> str | None:
        """Return the number whose charges a standing document has: its own or a former one, unless a later one has charges."""
        for number in (o["number"] for o in self.line_back(d)):
            later = [o["number"] for o in self._later[number] if o["number"] != number]
            if number in self._named and not self._named.intersection(later):
                return number
        return None

    def group_of(self, d: Row) -> list[Row]:
        """Return the standing documents that have their charges together, a split; mostly the document alone."""
        number = self.named_number(d)
        same = [o for o in self.standing_for(number) if self.named_number(o) == number] if number else [d]
        return sorted(same, key=lambda o: o["number"])

    def _check_amounts(self) -> Iterator[Finding]:
        repeated = {f[1] for f in self._find_repetitions() if f[-1] == "same_period"}
        for d in self.documents:
            if self.replaced(d):
                continue
            number, account, currency = d["number"], d["account"], d["currency"]
            lines = [c for c in self.charges if c["invoice_id"] == (self.named_number(d) or "no number")]
            net, tax, total = (Fraction(d[name]) for name in ("net", "tax", "total"))
            own = [Fraction(c["amount"]) for c in lines if c["currency"] == currency]
            # The money of a credit note or repeated invoice without lines is in another finding.
            group = self.group_of(d)
            alike = [o for o in group if o["currency"] == currency]
            nets = sum((Fraction(o["net"]) for o in alike), Fraction(0))
            of_none = not own and (d["kind"] == "credit_note" or all(o["number"] in repeated for o in alike))
            if sum(own, Fraction(0)) != nets and d is alike[0] and not of_none:
                yield row(
                    "lines_differ", group[0]["number"], None, account, (sum(own, Fraction(0)), nets), currency,
                    None if own else "no_lines",
                )  # fmt: skip
            for other in {c["currency"] for c in lines} - {o["currency"] for o in group} if d is group[0] else ():
                strange = sum((Fraction(c["amount"]) for c in lines if c["currency"] == other), Fraction(0))
                yield row("other_currency", number, None, account, (strange, Fraction(0)), other, None)
            if currency == "EUR" and rounded(net * RATE) != tax:
                yield row("tax_differs", number, None, account, (rounded(net * RATE), tax), currency, None)
            if net + tax != total:
                yield row("total_differs", number, None, account, (net + tax, total), currency, None)

    def lowered(self, note: Row) -> Row | None:
        """Return the invoice that a credit note lowers: of several that stand for the named number the greatest."""
        found = [
            b for b in self.standing_for(note.get("refers_to", ""))
            if b["kind"] == "invoice" and b["account"] == note["account"] and b["currency"] == note["currency"]
        ]  # fmt: skip
        return None if self.replaced(note) else min(found, key=lambda b: (-Fraction(b["total"]), order(b)), default=None)

    def _list_credit_notes(self, bill: Row) -> list[Row]:
        own = [c for c in self.credits if c["account"] == bill["account"]]
        return [c for c in own if self.lowered(c) is bill]

    def remaining(self, bill: Row) -> Fraction:
        if self.replaced(bill):
            return Fraction(0)
        return Fraction(bill["total"]) + sum((Fraction(c["total"]) for c in self._list_credit_notes(bill)), Fraction(0))

    def _check_credits(self) -> Iterator[Finding]:
        families: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for bill in self.bills:
            if not self.replaced(bill):
                families[self.line_back(bill)[-1]["number"], bill["currency"]].append(bill)
        for bills in families.values():
            notes = [c for bill in bills for c in self._list_credit_notes(bill)]
            credited = -sum((Fraction(c["total"]) for c in notes), Fraction(0))
            most = max(sum((Fraction(b["total"]) for b in bills), Fraction(0)), Fraction(0))
            if credited > most:
                last = max(notes, key=lambda c: (c["billed_at"], c["number"]))["number"]
                bill = max(bills, key=lambda b: (Fraction(b["total"]), b["number"]))
                yield row("credit_above_invoice", bill["number"], last, bill["account"], (-most, -credited), bill["currency"], None)
        for d in self.documents:
            if d.get("replaces") and self.former(d) is None:
                named = self._of_number.get(d["replaces"], [])
                reason = "unknown_number" if not named else "other_kind" if named[0]["account"] == d["account"] else "other_account"
                yield row("replaces_without_invoice", d["number"], d["replaces"], d["account"], (None, None), d["currency"], reason)
        for c in self.credits:
            named = [b for b in self.bills if b["number"] == c.get("refers_to")]
            of_account = [b for b in named if b["account"] == c["account"]]
            if self.replaced(c) or self.lowered(c) is not None:
                continue
            reason = (
                "names_none" if not c.get("refers_to") else "unknown_number" if not named
                else "other_account" if not of_account else "other_currency" if self.standing_for(c["refers_to"]) else "none_standing"
            )  # fmt: skip
            amounts = (Fraction(0), Fraction(c["total"]))
            yield row(
                "credit_without_invoice", c["number"], c.get("refers_to") or None, c["account"], amounts, c["currency"], reason
            )

    def _find_repetitions(self) -> Iterator[Finding]:
        # An invoice that was credited as a whole bills nothing any more; one of zero cannot be credited.
        standing = [b for b in self.bills if not self.replaced(b) and not (Fraction(b["total"]) > 0 and self.remaining(b) <= 0)]
        for b in standing:
            days = set(days_of(b))
            earlier = sorted(
                (
                    e
                    for e in standing
                    if e["account"] == b["account"]
                    and order(e) < order(b)
                    and days & set(days_of(e))
                    and self.line_back(e)[-1] is not self.line_back(b)[-1]
                ),
                key=order,
            )
            same = [e for e in earlier if set(days_of(e)) == days]
            if same:
                amounts = (Fraction(0), self.remaining(b))
                yield row("repeated_invoice", b["number"], same[0]["number"], b["account"], amounts, b["currency"], "same_period")
            elif earlier:
                yield row(
                    "repeated_invoice", b["number"], earlier[0]["number"], b["account"], (None, None), b["currency"], "overlap"
                )

    def _find_gaps(self) -> Iterator[Finding]:
        for letter in "RC":
            known = {int(d["number"][1:]) for d in self.documents if d["number"][0] == letter}
            below = None
            for number in range(min(known, default=0), max(known, default=-1) + 1):
                if number in known:
                    if below is not None and number - below > 1:
                        yield row("missing_number", f"{letter}{below}", f"{letter}{number}", None, (None, None), None, None)
                    below = number

    # --- accounts -----------------------------------------------------------------------------------------------------

    def _find_state(self, account: str, day: date) -> Row | None:
        began = [s for s in self.states if s["account"] == account and date.fromisoformat(s["valid_from"]) <= day]
        return max(began, key=lambda s: s["valid_from"], default=None)

    def periods(self, account: str) -> list[tuple[date, date, date]]:
        """Return first day, end and first active day of each period of an account."""
        found: dict[tuple[int, date], list[date]] = {}
        runs: list[tuple[int, date]] = []
        day = date(2026, 1, 1)
        while day <= UNTIL:
            state = self._find_state(account, day)
            if state is not None and state["status"] == "active":
                cycle_day = int(state["cycle_day"] or 1)
                if not runs or runs[-1][0] != cycle_day:
                    runs.append((cycle_day, day))
                found.setdefault((len(runs) - 1, begin_of(day, cycle_day)), []).append(day)
            day += DAY
        # A change that the log announces ends the running period too.
        for state in sorted((s for s in self.states if s["account"] == account), key=lambda s: s["valid_from"]):
            at = date.fromisoformat(state["valid_from"])
            if at > UNTIL and state["status"] == "active" and runs and runs[-1][0] != int(state["cycle_day"] or 1):
                runs.append((int(state["cycle_day"] or 1), at))
        result = []
        for (number, begin), days in found.items():
            cycle_day, changed = runs[number]
            ends = min(next_begin(begin, cycle_day), runs[number + 1][1] if number + 1 < len(runs) else HORIZON)
            result.append((max(begin, changed) if number else begin, ends, days[0]))
        return sorted(result)

    def _find_loose_lines(self) -> Iterator[Finding]:
        numbers = {d["number"] for d in self.documents}
        first_end = min(days_of(b)[-1] for b in self.bills) + DAY
        money_of: dict[tuple[str, date, date, str, str | None], Fraction] = defaultdict(Fraction)
        for c in self.charges:
            if c["invoice_id"] not in numbers and Fraction(c["amount"]) != 0:
                from_day, end = self._find_period(c["account"], date.fromisoformat(c["started_at"]), first_end)
                if end >= first_end and end + GRACE <= UNTIL:
                    money_of[c["account"], from_day, end, c["currency"], c["invoice_id"] or None] += Fraction(c["amount"])
        missing = set()
        for account in sorted({s["account"] for s in self.states}):
            for from_day, end, active in self.periods(account):
                billed = any(b["account"] == account and active in days_of(b) and not self.replaced(b) for b in self.bills)
                if end >= first_end and end + GRACE <= UNTIL and not billed:
                    missing.add((account, from_day))
                    sums: dict[str, Fraction] = defaultdict(Fraction)
                    for (owner, of_day, _, currency, _), amount in money_of.items():
                        if (owner, of_day) == (account, from_day):
                            sums[currency] += amount
                    for currency, amount in sums.items():
                        yield row("missing_invoice", None, None, account, (amount, Fraction(0)), currency, "charges_known")
                    if not sums:
                        yield row("missing_invoice", None, None, account, (None, None), None, "no_charges")
        for (account, from_day, _, currency, number), amount in money_of.items():
            if (account, from_day) not in missing:
                reason = "unknown_number" if number else "no_number"
                yield row("uninvoiced_charge", number, None, account, (amount, Fraction(0)), currency, reason)

    def _find_period(self, account: str, day: date, first_end: date) -> tuple[date, date]:
        for from_day, end, _ in self.periods(account):
            if from_day <= day < end and end >= first_end:
                return from_day, end
        first = day.replace(day=1)
        return first, (first + 31 * DAY).replace(day=1)


def rounded(value: Fraction) -> Fraction:
    """Round half up, away from zero, to two decimals."""
    cents = abs(value) * 100
    whole = cents.numerator // cents.denominator
    whole += cents - whole >= Fraction(1, 2)
    return Fraction(whole if value >= 0 else -whole, 100)


def order(document: Row) -> tuple[str, str]:
    return document["billed_at"], document["number"]


def days_of(document: Row) -> list[date]:
    """Return the days of a document's period, without its end but at least its first day."""
    first, end = date.fromisoformat(document["period_from"]), date.fromisoformat(document["period_to"])
    return [first + n * DAY for n in range(max((end - first).days, 1))]


def begin_of(day: date, cycle_day: int) -> date:
    """Walk back to the day on which the cycle of a day began."""
    while not begins(day, cycle_day):
        day -= DAY
    return day


def next_begin(day: date, cycle_day: int) -> date:
    day += DAY
    while not begins(day, cycle_day):
        day += DAY
    return day


def begins(day: date, cycle_day: int) -> bool:
    return day.day == cycle_day or (day.day < cycle_day and (day + DAY).day == 1)
