"""Samples that fit a preset: the proposed source names it, and a person adds only settings that no sample can show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from preset_files import CISCO_CUCM, FILES, FREERADIUS_DETAIL, FREESWITCH_CSV, freeswitch_call

from trueup.onboarding.document import Document

Propose = Callable[..., tuple[dict[str, Any], Document]]

OUTCOMES = {
    "asterisk-csv": "2 of 2", "asterisk-database": "1 of 1", "cgrates-csv": "1 of 3", "chf-charging-data": "3 of 3", "cisco-cucm": "2 of 3",
    "freeradius-detail": "2 of 3", "freeradius-radacct": "2 of 2", "freeswitch-csv": "2 of 2", "freeswitch-json": "1 of 1", "kamailio-cdrs": "1 of 1", "mpesa-statement": "3 of 4", "opensips-acc": "1 of 2",
}  # fmt: skip
WITH_OFFSET = ("cgrates-csv", "chf-charging-data", "cisco-cucm", "freeradius-detail", "freeswitch-json")


def source(settings: dict[str, Any], number: int = 0) -> dict[str, Any]:
    return {name: value for name, value in settings["source"][number].items() if name not in ("name", "path", "stream")}


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_of_a_producer_is_recognised(name: str, propose_from: Propose) -> None:
    settings, document = propose_from(sample__csv=FILES[name])
    assert source(settings) == {"preset": name}
    assert f"# sample.csv: {OUTCOMES[name]} records of the sample become events" in document.text
    open_zone = set() if name in WITH_OFFSET else {"[project] timezone"}
    assert {doubt.setting for doubt in document.doubts} == {"[project] currency"} | open_zone


def test_the_line_of_the_preset_has_its_evidence(propose_from: Propose) -> None:
    _, document = propose_from(sw__csv=FREESWITCH_CSV, cdr__txt=CISCO_CUCM)
    lines = [line for line in document.text.splitlines() if line.startswith("preset")]
    assert lines[0].partition("# ")[2] == "12 of 12 values of fields 5, 7, 8, 9, 10, 11 fit the format"
    shown = "pkid, globalCallId_ClusterID, globalCallID_callManagerId, globalCallID_callId, callingPartyNumber"
    assert lines[1].partition("# ")[2] == f"the sample has its 11 columns, among them {shown}"


def test_settings_that_differ_from_the_preset_are_written(propose_from: Propose) -> None:
    settings, _ = propose_from(cdr__csv=CISCO_CUCM.replace(",", ";"))
    assert source(settings) == {"preset": "cisco-cucm", "delimiter": ";"}


def test_usage_of_a_preset_is_linked_with_charges(propose_from: Propose) -> None:
    calls = "\n".join(freeswitch_call(f"u{n}", billsec=f"{n * 10}") for n in range(1, 6))
    charges = "line,call,amount\n" + "".join(f"{n},u{n},{n}.00\n" for n in range(1, 6))
    settings, document = propose_from(sw__json=calls, bill__csv=charges)
    assert source(settings) == {"preset": "freeswitch-json"}
    assert settings["source"][1]["columns"]["session_key"] == "call"
    assert settings["reconcile"]["default"]["match"] == ["session_key"]
    assert (settings["reconcile"]["default"]["price"], "5 of 5 amounts are 0.1 × quantity" in document.text) == ("0.1", True)


def test_counters_of_radius_are_not_added(propose_from: Propose) -> None:
    charges = "line,session,amount\n1,ea6a1089816f19c0,5.00\n"
    settings, _ = propose_from(detail__20240501=FREERADIUS_DETAIL, bill__csv=charges)
    assert source(settings) == {"preset": "freeradius-detail"}
    assert settings["reconcile"]["default"]["parts"] == "max"


def test_packets_with_repeated_attributes_do_not_prevent_a_proposal(propose_from: Propose) -> None:
    other = FREERADIUS_DETAIL.replace("Acct-Unique-Session-Id", "Vendor-Session-Id").replace(
        "\tTimestamp", '\tClass = "a"\n\tClass = "b"\n\tTimestamp'
    )
    settings, document = propose_from(detail__20240501=other)
    assert "preset" not in source(settings)
    assert "2 of 3 records of the sample become events" in document.text
    assert source(settings)["columns"]["quantity"]["expression"].startswith('"Acct-Input-Octets" + "Acct-Output-Octets"')


def test_a_session_key_that_charges_share_replaces_that_of_the_preset(propose_from: Propose) -> None:
    calls = "\n".join(freeswitch_call(f"u{n}", sip_call_id=f"sip{n}") for n in range(1, 6))
    charges = "line,call_id,amount\n" + "".join(f"{n},sip{n},2.10\n" for n in range(1, 6))
    settings, _ = propose_from(sw__json=calls, bill__csv=charges)
    assert source(settings) == {"preset": "freeswitch-json", "columns": {"session_key": "variables.sip_call_id"}}


def test_calls_with_other_columns_fit_no_preset(propose_from: Propose) -> None:
    settings, _ = propose_from(
        sw__csv="uuid,src,dst,start,billsec\n"
        + "".join(f"e{n},49151100000{n},4930123450{n},2026-11-0{n} 10:00:00,7\n" for n in range(1, 9))
    )
    assert "preset" not in source(settings)
