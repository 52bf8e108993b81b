"""The evidence gate by itself: what a step that changed, measured or searched may claim, and what it may not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ml_engineer.agent.calls import Call, Outcome
from ml_engineer.agent.gate import EvidenceGate, Judgement
from ml_engineer.agent.records import Records
from ml_engineer.agent.submission import Submission
from ml_engineer.assessment.secrets import Secrets
from ml_engineer.report.evidence import EvidenceChecker
from ml_engineer.report.schema import Claim, ClaimState, CommandRun, StepRecord, StepState

AGENT = "step-06"
PASSED = CommandRun(command="pytest -q", exit_code=0, excerpt="5 passed", record="records/step-06/9-0-check-0.json")


@pytest.fixture
def gate(tmp_path: Path) -> EvidenceGate:
    root, folder = tmp_path / "root", tmp_path / "run"
    root.mkdir()
    (root / "app.py").write_text("import flask\n\nWORKERS = 4\n")
    (root / "other.py").write_text("LIMIT = 10\n")
    engine = StepRecord(step=6, name="Performance Optimization", state=StepState.DONE, summary="no findings")
    owned = ("Latency", "Throughput", "Resource Usage")
    return EvidenceGate(engine, owned, AGENT, "scripted", EvidenceChecker(root, folder), Records(folder), Secrets())


def judge(gate: EvidenceGate, **fields: Any) -> Judgement:
    return gate.judge(Submission.read({"summary": "As it stands.", **fields}))


def claim(state: str, text: str, **more: Any) -> list[dict[str, Any]]:
    return [{"field": "Latency", "state": state, "text": text, **more}]


def ran(gate: EvidenceGate, command: str, exit_code: int, output: str = "", key: str = "step-06/1/0") -> None:
    data = {"command": command, "exit_code": exit_code, "timed_out": False, "output": output, "level": "bwrap"}
    gate.records.keep(AGENT, Call("c", "Bash", {"command": command}, key), Outcome(output, data))


def measured(gate: EvidenceGate, name: str = "p95 latency", value: float = 12.34) -> None:
    record = gate.records.folder / "measurements" / "one.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"value": value}))
    about = {"name": name, "value": value, "unit": "ms", "samples": 500, "method": "closed loop, 1 client"}
    data = {"measurements": [{**about, "record": "measurements/one.json"}]}
    gate.records.keep(AGENT, Call("c", "Benchmark", {}, "step-06/1/1"), Outcome("done", data))


def test_a_measurement_of_this_step_carries_a_measured_claim(gate: EvidenceGate) -> None:
    measured(gate)
    found = judge(gate, claims=claim("measured", "p95 is 12.3 ms over 500 requests.", measurement="P95 latency"))
    assert found.problems == []
    assert found.record.claims["Latency"].state is ClaimState.MEASURED
    assert found.record.claims["Latency"].evidence[0].kind == "measurement"


@pytest.mark.parametrize("text", ["p95 is 9 ms.", "p95 is 12.3 ms, p99 is 20 ms.", "It is fast.", "p95 is 12.35 ms."])
def test_a_measured_claim_says_what_was_measured_and_no_other_number(gate: EvidenceGate, text: str) -> None:
    measured(gate)
    found = judge(gate, claims=claim("measured", text, measurement="p95 latency"))
    assert len(found.problems) == 1
    assert found.record.claims == {}


def test_a_measurement_whose_record_says_otherwise_is_refused(gate: EvidenceGate) -> None:
    measured(gate)
    (gate.records.folder / "measurements" / "one.json").write_text(json.dumps({"value": 99.0}))
    found = judge(gate, claims=claim("measured", "p95 is 12.3 ms.", measurement="p95 latency"))
    assert "the record says 99" in found.problems[0]


def test_measurements_of_another_step_do_not_count(gate: EvidenceGate) -> None:
    measured(gate)
    found = judge(
        replace(gate, agent="step-07"), claims=claim("measured", "p95 is 12.3 ms.", measurement="p95 latency")
    )
    assert "no measurement" in found.problems[0]


def test_implemented_needs_a_change_and_a_passed_check(gate: EvidenceGate) -> None:
    rows = claim("implemented", "Four workers.", path="app.py", line=3, quote="WORKERS = 4")
    assert "nothing was changed" in judge(gate, claims=rows).problems[0]
    changed = replace(gate, changed=frozenset({"app.py"}))
    assert "no check of this step has passed" in judge(changed, claims=rows).problems[0]
    record = gate.records.folder / PASSED.record
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"exit_code": 0}))
    proved = judge(replace(changed, passed=(PASSED,)), claims=rows)
    assert proved.problems == []
    assert [one.kind for one in proved.record.claims["Latency"].evidence] == ["quote", "command"]


def test_implemented_is_not_proved_by_a_file_that_was_not_changed(gate: EvidenceGate) -> None:
    rows = claim("implemented", "A limit.", path="other.py", line=1, quote="LIMIT = 10")
    done = replace(gate, changed=frozenset({"app.py"}), passed=(PASSED,))
    assert "a file that this step changed: app.py" in judge(done, claims=rows).problems[0]


def test_a_command_counts_as_it_ended(gate: EvidenceGate) -> None:
    ran(gate, "make bench", 2, "boom")
    found = judge(gate, claims=claim("present", "The benchmark runs.", command="make  bench"))
    assert "`make bench` ended with 2" in found.problems[0]
    ran(gate, "make bench", 0, "p95 31 ms", key="step-06/3/0")
    found = judge(gate, claims=claim("present", "The benchmark ran successfully: p95 31 ms.", command="make bench"))
    assert found.problems == []
    assert found.record.claims["Latency"].evidence[0].record == "records/step-06/3-0.json"  # type: ignore[union-attr]


def test_absent_needs_a_place_and_a_search_that_found_nothing(gate: EvidenceGate) -> None:
    place = {"path": "app.py", "line": 3, "quote": "WORKERS = 4"}
    for total, key in ((0, "step-06/1/0"), (3, "step-06/1/1")):
        pattern = "locust" if total == 0 else "flask"
        data = {"pattern": pattern, "total": total, "files": ["app.py"][:total]}
        gate.records.keep(AGENT, Call("c", "Grep", {"pattern": pattern}, key), Outcome("", data))
    assert "needs `searched`" in judge(gate, claims=claim("absent", "No load test.", **place)).problems[0]
    assert "was not searched" in judge(gate, claims=claim("absent", "None.", searched="k6", **place)).problems[0]
    assert "did find" in judge(gate, claims=claim("absent", "None.", searched="flask", **place)).problems[0]
    assert "the place that would need it" in judge(gate, claims=claim("absent", "None.", searched="locust")).problems[0]
    found = judge(gate, claims=claim("absent", "No load test.", searched="locust", **place))
    assert found.problems == []
    assert found.record.claims["Latency"].evidence[0].kind == "absence"


def test_a_proposal_stands_beside_what_the_engine_saw(gate: EvidenceGate) -> None:
    engine = gate.engine.model_copy(
        update={"claims": {"Latency": Claim(text="no requirement", state=ClaimState.ABSENT)}}
    )
    found = judge(replace(gate, engine=engine), claims=claim("proposed", "Target: p95 below 100 ms."))
    assert found.record.claims["Latency"].text == "Target: p95 below 100 ms. (Today: no requirement)"
    assert found.record.claims["Latency"].state is ClaimState.PROPOSED


def test_rows_of_one_title_are_one_finding_with_several_places(gate: EvidenceGate) -> None:
    row = {"title": "Fixed numbers", "why": "Nobody can tune them.", "remedy": "Settings.", "severity": "low"}
    places = [{"path": "app.py", "line": "3", "quote": "WORKERS = 4"}, {"path": "./other.py", "quote": "LIMIT = 10"}]
    found = judge(gate, findings=[row | place for place in places])
    assert found.problems == []
    (one,) = found.record.findings
    assert [(e.path, e.line_start) for e in one.evidence] == [("app.py", 3), ("other.py", 1)]  # type: ignore[union-attr]


def test_a_list_that_was_sent_as_text_is_understood(gate: EvidenceGate) -> None:
    found = judge(gate, claims=json.dumps(claim("Proposed", "Measure first.")))
    assert found.problems == []
    assert found.record.claims["Latency"].state is ClaimState.PROPOSED


def test_what_holds_of_a_summary_is_kept(gate: EvidenceGate) -> None:
    found = gate.judge(Submission.read({"summary": "The model is loaded once. All tests pass. Batching comes next."}))
    assert found.record.summary == "The model is loaded once. Batching comes next."
    assert len(found.problems) == found.check.dropped == 1
