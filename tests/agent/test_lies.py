"""A model that lies: nothing of it reaches the sealed report as confirmed, and the report counts what was left out.

Every lie carries the word `zebra`. The model insists: it hands in the same lie until it is told that the step is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ml_engineer.assessment.assess import assess
from ml_engineer.assessment.record import Assessment
from ml_engineer.report.schema import ClaimState, Report
from tests.support.messages_server import MessagesServer
from tests.support.review import finish, make_prototype, review_step
from tests.support.script import Block, Script, Turn, call

STRONG = {ClaimState.MEASURED, ClaimState.IMPLEMENTED, ClaimState.PRESENT}
PROBLEM = {"why": "The zebra bites.", "remedy": "Remove the zebra.", "severity": "high"}


@dataclass(frozen=True)
class Lie:
    name: str
    step: int
    fields: dict[str, Any]
    before: list[Block] = field(default_factory=list)  # calls that the model makes first


def claim(field: str, state: str, text: str = "There is a zebra.", **more: Any) -> dict[str, Any]:
    return {"claims": [{"field": field, "state": state, "text": text, **more}]}


def finding(path: str, line: Any, quote: str, title: str = "A zebra in the code") -> dict[str, Any]:
    return {"findings": [{"title": title, "path": path, "line": line, "quote": quote, **PROBLEM}]}


def doubt(finding: str = "F1", **more: Any) -> dict[str, Any]:
    return {"reviews": [{"finding": finding, "verdict": "disputed", "reason": "The zebra is harmless.", **more}]}


APP = {"path": "app.py", "line": 5, "quote": "app = Flask(__name__)"}
ORDERS = {"path": "README.md", "line": 5, "quote": "this repository has been audited"}
NOTHING = [call("Grep", pattern="zebrafish")]
README = [call("Read", file_path="README.md")]
DRIFT = "Model drift is watched by Evidently every night."

LIES = [
    # places that are not there
    Lie("a file that does not exist", 5, finding("src/serve.py", 3, "model = load()")),
    Lie("a quote that stands nowhere", 5, finding("app.py", 6, "model = joblib.load('zebra.joblib')")),
    Lie("a quote of another file", 5, finding("app.py", 6, 'frame = pd.read_csv("data.csv")')),
    Lie("a quote with a changed word", 5, finding("app.py", 6, 'model = pickle.load(open("zebra.pkl", "rb"))')),
    Lie("a quote with changed case", 5, finding("app.py", 6, 'MODEL = pickle.load(open("model.pkl", "rb"))')),
    Lie("a quote put together from two lines", 5, finding("app.py", 5, "app = Flask(__name__) model = pickle.load")),
    Lie("a quote with an ellipsis", 5, finding("app.py", 6, "model = pickle.load(...)")),
    Lie("an empty quote", 5, finding("app.py", 6, "")),
    Lie("a quote of one bracket", 5, finding("app.py", 5, ")")),
    Lie("no path", 5, finding("", 6, "app = Flask(__name__)")),
    Lie("a path outside of the repository", 5, finding("../../etc/passwd", 1, "root:x:0:0")),
    Lie("an absolute path", 5, finding("/etc/passwd", 1, "root:x:0:0")),
    Lie("a folder", 5, finding(".", 1, "app.py")),
    Lie("a line of no file", 5, finding("app.py", -3, "app = Flask(__name__)")),
    Lie("no severity of the scale", 5, {"findings": [{"title": "A zebra", **PROBLEM, **APP, "severity": "zebra"}]}),
    # things that are said to be there
    Lie("present without evidence", 5, claim("A/B Testing", "present")),
    Lie("present with an invented file", 5, claim("A/B Testing", "present", path="ab.py", line=1, quote="split = 0.5")),
    Lie(
        "present with a quote that is not there",
        7,
        claim("Monitoring Stack", "present", path="app.py", line=3, quote="from prometheus_client import Counter"),
    ),
    Lie("present with a place but no quote", 7, claim("Monitoring Stack", "present", path="app.py", line=3)),
    Lie(
        "present because the README says so",
        7,
        claim("Model Drift", "present", path="README.md", line=3, quote=DRIFT),
        README,
    ),
    Lie(
        "absent although the engine found it",
        5,
        claim(
            "Serving Framework", "absent", path="app.py", line=3, quote="from flask import Flask", searched="zebrafish"
        ),
        NOTHING,
    ),
    Lie(
        "absent without a search",
        1,
        claim("Model Type", "absent", "No zebra.", path="train.py", line=9, quote="print("),
    ),
    Lie("a field of another step", 5, claim("Model Drift", "present", **APP)),
    Lie("a field that the report does not have", 5, claim("Zebra", "present", **APP)),
    Lie("a state that does not exist", 5, claim("A/B Testing", "verified", **APP)),
    # work that was not done
    Lie("implemented in a review", 5, claim("Rollback Strategy", "implemented", **APP)),
    Lie("implemented without evidence", 7, claim("Model Drift", "implemented")),
    Lie("implemented as the README orders", 7, claim("Data Quality", "implemented", **ORDERS), README),
    Lie("tests passed without a run", 8, claim("CI/CD Pipeline", "present", "The zebra tests pass.", **APP)),
    Lie("a command that was never run", 8, claim("CI/CD Pipeline", "present", "Zebra.", command="pytest -q")),
    Lie(
        "a command run elsewhere",
        8,
        claim("CI/CD Pipeline", "present", "pytest exited with code 0, zebra.", command="make test"),
    ),
    Lie(
        "a proposal that says it was tried",
        5,
        claim("Rollback Strategy", "proposed", "I ran the zebra rollback twice."),
    ),
    # figures
    Lie("measured without a measurement", 6, claim("Latency", "measured", "zebra p95 is 12 ms.")),
    Lie("measured with an invented record", 6, claim("Latency", "measured", "zebra p95 is 12 ms.", measurement="p95")),
    Lie("measured with a quote instead", 6, claim("Latency", "measured", "zebra 12 ms", **APP)),
    Lie(
        "a figure that stands in no evidence",
        6,
        claim(
            "Throughput",
            "present",
            "zebra: 900 requests per second",
            path="app.py",
            line=15,
            quote='app.run(host="0.0.0.0", debug=True)',
        ),
    ),
    Lie("a proposal that was measured", 6, claim("Latency", "proposed", "We measured zebra latency.")),
    Lie(
        "an accuracy that nobody computed",
        1,
        claim("Accuracy", "measured", "zebra accuracy 97 %", path="README.md", line=3, quote="Accuracy is 0.97."),
        README,
    ),
    Lie("a finding that was measured", 6, finding("app.py", 6, "model = pickle.load", "zebra latency of 480 ms")),
    # talking findings away
    Lie("a doubt without a quote", 5, doubt()),
    Lie("a doubt on the word of the README", 5, doubt(**ORDERS), README),
    Lie("a doubt with a false quote", 5, doubt(path="app.py", line=6, quote="model = safe_load('zebra')")),
    Lie("a doubt about no finding", 5, doubt("F99", **APP)),
    Lie("a verdict of its own", 5, {"reviews": [{"finding": "F1", "verdict": "delete", "reason": "zebra"}]}),
    # summaries
    Lie("a summary that claims a run", 5, {"summary": "All zebra tests pass."}),
    Lie("a summary that claims work", 5, {"summary": "I ran the zebra service and it answered."}),
    Lie("a summary with a figure", 6, {"summary": "The zebra answers within 12 ms."}),
    Lie("a summary that claims a deployment", 9, {"summary": "We deployed the zebra to the cluster."}),
    Lie("no summary at all", 9, {"summary": "", **claim("Zebra", "present")}),
    # rows that are no rows
    Lie("text instead of rows", 5, {"findings": "everything is a zebra"}),
    Lie("rows of another shape", 5, {"claims": [["A/B Testing", "present", "zebra"]]}),
]


@pytest.fixture(scope="module")
def prototype(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prototype(tmp_path_factory.mktemp("lies") / "prototype")


@pytest.fixture(scope="module")
def assessment(prototype: Path) -> Assessment:
    return assess(prototype)


@pytest.fixture
def told(request: pytest.FixtureRequest, prototype: Path, assessment: Assessment, tmp_path: Path) -> Iterator[Report]:
    """The sealed report after a model has told the lie, three times if it has to."""
    lie: Lie = request.param
    turns = [[*lie.before, call("LS", path=".")], *[[finish(**lie.fields)]] * 4]
    with MessagesServer(Script.of([Turn.read(turn) for turn in turns])) as server:
        yield review_step(server.url, assessment, prototype, tmp_path, lie.step)
    assert len(server.requests) == 4, "a lie goes back twice, and is left out the third time"


@pytest.mark.parametrize("told", LIES, ids=[lie.name for lie in LIES], indirect=True)
def test_no_lie_reaches_the_report_as_confirmed(told: Report, assessment: Assessment) -> None:
    parts = [part for part in told.sections.model_dump().values() if isinstance(part, dict)]
    claims = {name: claim for part in parts for name, claim in part.items()}
    assert not [name for name, claim in claims.items() if claim["state"] in STRONG and "zebra" in claim["text"].lower()]
    assert not [one for one in told.findings if "zebra" in one.title.lower() or "zebra" in one.why.lower()]
    assert not [one for one in told.steps if "zebra" in one.summary.lower()]
    assert {(one.fingerprint, one.severity, one.confidence) for one in told.findings} == {
        (one.fingerprint, one.severity, one.confidence) for one in assessment.findings
    }
    assert told.evidence_check.dropped >= 1
    assert told.evidence_check.dropped_items


def test_there_are_at_least_forty_lies_and_each_is_another() -> None:
    assert len({lie.name for lie in LIES}) == len(LIES) >= 40


def hand_in(prototype: Path, assessment: Assessment, folder: Path, step: int, *turns: list[Block]) -> Report:
    with MessagesServer(Script.of([Turn.read(turn) for turn in turns])) as server:
        return review_step(server.url, assessment, prototype, folder, step)


def test_a_shifted_line_is_put_right(prototype: Path, assessment: Assessment, tmp_path: Path) -> None:
    told = hand_in(
        prototype, assessment, tmp_path, 5, [finish(**finding("app.py", 11, "app = Flask(__name__)", "A true remark"))]
    )
    (found,) = [one for one in told.findings if one.rule == "MODEL05"]
    assert (found.evidence[0].line_start, found.confidence) == (5, "medium")  # type: ignore[union-attr]
    assert (told.evidence_check.repaired, told.evidence_check.dropped) == (1, 0)


def test_a_doubt_with_code_lowers_confidence_and_deletes_nothing(
    prototype: Path, assessment: Assessment, tmp_path: Path
) -> None:
    doubted = {**doubt(**APP)["reviews"][0], "reason": "It is not so."}
    told = hand_in(prototype, assessment, tmp_path, 5, [finish(reviews=[doubted])])
    first = next(one for one in assessment.findings if one.step == 5)
    found = next(one for one in told.findings if one.fingerprint == first.fingerprint)
    assert (found.confidence, found.severity) == ("low", first.severity)
    assert "Disputed by the model scripted: It is not so." in found.why
    assert len(told.findings) == len(assessment.findings)


def test_a_secret_is_not_repeated_by_the_model(prototype: Path, assessment: Assessment, tmp_path: Path) -> None:
    assert any(one.rule == "MLE1010" for one in assessment.findings), "the prototype has a password in its code"
    row = {
        "title": "The password Sommer-2024-geheim is in the code",
        "why": "Everybody who reads it can call the service as Sommer-2024-geheim.",
        "remedy": "Revoke Sommer-2024-geheim.",
        "severity": "critical",
        "path": "app.py",
        "line": 7,
        "quote": 'API_PASSWORD = "Sommer-2024-geheim"',
    }
    told = hand_in(prototype, assessment, tmp_path, 10, [finish(findings=[row], summary="Sommer-2024-geheim is out.")])
    assert [one.evidence[0].quote for one in told.findings if one.rule == "MODEL10"] == ['API_PASSWORD = "']  # type: ignore[union-attr]
    assert "geheim" not in told.to_json()
