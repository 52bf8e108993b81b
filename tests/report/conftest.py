"""A small target repository, and a report about it made by hand in which every quote stands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_engineer.report.schema import (
    SECTION_FIELDS,
    STEP_NAMES,
    Absence,
    Claim,
    ClaimState,
    CommandRun,
    Confidence,
    Coverage,
    CoveredStep,
    EvidenceCheck,
    Fact,
    Finding,
    Handoff,
    HandoffState,
    Measurement,
    PeerReply,
    PipelineRow,
    Place,
    Quote,
    Report,
    Repository,
    Run,
    Score,
    ScoredTest,
    Searched,
    Sections,
    Severity,
    SkippedFile,
    StepScore,
    StepState,
    Suppressed,
    TestState,
    TokenUsage,
    Tool,
    Usage,
)

APP = """\
import pickle

from flask import Flask, jsonify, request

app = Flask(__name__)
model = pickle.load(open("model.pkl", "rb"))


@app.route("/predict", methods=["POST"])
def predict():
    features = request.get_json()["features"]
    return jsonify({"churn": float(model.predict([features])[0])})


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=5000, debug=True)
"""
TRAIN = """\
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

frame = pd.read_csv("data/churn.csv")
X, y = frame.drop(columns=["churned"]), frame["churned"]
X = StandardScaler().fit_transform(X)
X_train, X_test, y_train, y_test = train_test_split(X, y)
model = RandomForestClassifier().fit(X_train, y_train)
print("accuracy", model.score(X_test, y_test))
"""
NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "source": "# Churn"},
        {"cell_type": "code", "source": ["import pandas as pd\n", 'frame = pd.read_csv("/home/ana/churn.csv")\n']},
        {"cell_type": "code", "source": "frame.describe()"},
    ],
    "nbformat": 4,
}
DOCKERFILE = 'FROM python:3.9\nCOPY . .\nRUN pip install flask pandas scikit-learn\nCMD ["python", "app.py"]\n'


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def quote(root: Path, path: str, first: int, last: int | None = None, note: str | None = None) -> Quote:
    data = (root / path).read_bytes()
    last = last or first
    lines = data.decode().splitlines()[first - 1 : last]
    return Quote(path=path, line_start=first, line_end=last, quote="\n".join(lines), sha256=sha256(data), note=note)


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository that the sample report is about. Tests that change it copy it first."""
    root = tmp_path_factory.mktemp("churn")
    (root / "notebooks").mkdir()
    for name, text in {
        "app.py": APP,
        "train.py": TRAIN,
        "Dockerfile": DOCKERFILE,
        "notebooks/eda.ipynb": json.dumps(NOTEBOOK),
        "requirements.txt": "flask\npandas\nscikit-learn\n",
    }.items():
        (root / name).write_text(text)
    return root


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with the records that the sample report names."""
    directory = tmp_path_factory.mktemp("run")
    (directory / "records").mkdir()
    (directory / "records" / "latency.json").write_text(json.dumps({"value": 41.5, "raw": [40.1, 42.9]}))
    (directory / "records" / "pytest.json").write_text(json.dumps({"exit_code": 5, "output": "no tests ran"}))
    return directory


@pytest.fixture(scope="session")
def report(target: Path) -> Report:
    return make_report(target)


@pytest.fixture(scope="session")
def quoting(target: Path) -> Callable[..., Quote]:
    """Quotes a line of the target, or of a folder given as `root`."""

    def make(path: str, first: int, last: int | None = None, root: Path = target) -> Quote:
        return quote(root, path, first, last)

    return make


def make_report(root: Path) -> Report:
    findings = _findings(root)
    return Report(
        tool=Tool(version="0.1.0", rules_version="8f2c1d0a9b7e"),
        run=Run(
            id="20261130-101500-a1b2",
            mode="review",
            started="2026-11-30T10:15:00Z",
            finished="2026-11-30T10:15:01Z",
            notes=["no key and no base URL: reviewed without a model"],
        ),
        repository=Repository(name="churn", path="examples/churn", revision="3f9d2c" * 6 + "3f9d", dirty=True),
        coverage=_coverage(),
        profile=[
            Fact(name="Framework", value="scikit-learn", evidence=[quote(root, "train.py", 2)]),
            Fact(name="Serving entry point", value="app.py (Flask)", evidence=[quote(root, "app.py", 5)]),
            Fact(name="Ports", value="5000", evidence=[quote(root, "app.py", 16)]),
        ],
        sections=_sections(root),
        findings=findings,
        suppressed=[
            Suppressed(rule="MLE0302", path="train.py", line=11, reason="the script is run by hand", origin="inline"),
            Suppressed(rule="MLE1002", path="requirements.txt", reason="ticket 41", origin="pyproject"),
        ],
        handoffs=[
            Handoff(
                id="h1",
                peer="data-engineer",
                cue="data pipeline issues",
                question="Who owns data/churn.csv, and how often is it renewed?",
                evidence=[quote(root, "train.py", 6)],
                expected="an owner, a schedule and a schema",
                state=HandoffState.QUEUED,
                brief="handoffs/h1.md",
            ),
            Handoff(
                id="h2",
                peer="cloud-architect",
                cue="infrastructure design",
                question="Where should the API run?",
                state=HandoffState.ANSWERED,
                reply=PeerReply(state=HandoffState.ANSWERED, answer="A small managed container service is enough."),
            ),
        ],
        score=_score(root),
        evidence_check=EvidenceCheck(
            checked=31,
            repaired=2,
            dropped=1,
            dropped_items=["app.py:40 (MLE0507): the quote does not stand in the file"],
        ),
        usage=Usage(turns=0, tokens=TokenUsage()),
    )


def _findings(root: Path) -> list[Finding]:
    def finding(
        rule: str, severity: str, title: str, why: str, remedy: str, *evidence: object, **more: object
    ) -> Finding:
        fields: dict[str, object] = {
            "rule": rule,
            "step": int(rule[3:5]),
            "severity": Severity(severity),
            "confidence": Confidence.HIGH,
            "source": "ML Test Score, Infra 3",
            "fingerprint": sha256(f"{rule}{title}".encode())[:16],
        }
        return Finding.model_validate(
            {**fields, "title": title, "why": why, "remedy": remedy, "evidence": list(evidence), **more}
        )

    return [
        finding(
            "MLE0502",
            "critical",
            "The model is unpickled at import of the server",
            "Whoever can replace `model.pkl` runs code in the server: unpickling executes what the file says.",
            "Store the model with `skops`, or check a signature before loading.",
            quote(root, "app.py", 6),
            quote(root, "Dockerfile", 2, note="the artefact is copied into the image unchecked"),
            source="CWE-502, bandit B301",
        ),
        finding(
            "MLE0506",
            "high",
            "The Flask debugger is on, and bound to every interface",
            "The debugger gives a Python console to whoever can reach the port.",
            "Serve with `gunicorn app:app` and drop `debug=True`.",
            quote(root, "app.py", 15, 16),
            source="bandit B201",
            peers=["devops-engineer"],
        ),
        finding(
            "MLE0401",
            "high",
            "The scaler is fitted before the split",
            "Mean and variance of the test rows leak into training, so the reported accuracy is too high.",
            "Put `StandardScaler` into a `Pipeline` and fit it on the training rows alone.",
            quote(root, "train.py", 8, 9),
        ),
        finding(
            "MLE0405",
            "medium",
            "No seed is set",
            "Two runs give two models, and no one can tell a better model from a luckier one.",
            "Pass `random_state` to `train_test_split` and to the estimator.",
            quote(root, "train.py", 9),
            quote(root, "train.py", 10),
            confidence=Confidence.MEDIUM,
        ),
        finding(
            "MLE0801",
            "medium",
            "There is no automated pipeline",
            "Nothing runs when the code changes.",
            "Add a workflow that runs the tests and builds the image.",
            Absence(
                need=Place(
                    path="app.py", line=5, quote="app = Flask(__name__)", sha256=sha256((root / "app.py").read_bytes())
                ),
                searched=Searched(
                    patterns=["workflow files"], files=[".github/workflows/* (0 files)", ".gitlab-ci.yml"]
                ),
            ),
            peers=["devops-engineer"],
        ),
        finding(
            "MLE0306",
            "low",
            "A path of one machine stands in the notebook",
            "The notebook runs on one machine only.",
            "Read the path from a setting.",
            Quote(
                path="notebooks/eda.ipynb",
                cell=1,
                line_start=2,
                line_end=2,
                quote='frame = pd.read_csv("/home/ana/churn.csv")',
                sha256=sha256((root / "notebooks/eda.ipynb").read_bytes()),
            ),
        ),
        finding(
            "MLE0308",
            "info",
            "The test command finds no test",
            "A green run proves nothing.",
            "Write a first test of `predict`.",
            CommandRun(command="pytest -q", exit_code=5, excerpt="no tests ran in 0.01s", record="records/pytest.json"),
        ),
    ]


def _sections(root: Path) -> Sections:
    known = {
        "Model Type": Claim(
            text="Classification (binary), RandomForestClassifier",
            state=ClaimState.PRESENT,
            evidence=[quote(root, "train.py", 10), quote(root, "train.py", 2)],
        ),
        "Deployment Pattern": Claim(text="API", state=ClaimState.PRESENT, evidence=[quote(root, "app.py", 9)]),
        "Serving Framework": Claim(text="Flask", state=ClaimState.PRESENT, evidence=[quote(root, "app.py", 3)]),
        "Infrastructure": Claim(text="Docker", state=ClaimState.PRESENT, evidence=[quote(root, "Dockerfile", 1)]),
        "Latency": Claim(
            text="41.5 ms at the 95th percentile",
            state=ClaimState.MEASURED,
            evidence=[
                Measurement(
                    name="p95 latency",
                    value=41.5,
                    unit="ms",
                    samples=200,
                    method="200 requests in turn against the local server",
                    record="records/latency.json",
                )
            ],
        ),
        "Feature Store": Claim(text="not needed at this size", state=ClaimState.PROPOSED),
        "CI/CD Pipeline": Claim(
            text="none",
            state=ClaimState.ABSENT,
            evidence=[
                Absence(
                    need=Place(path="Dockerfile", line=1, quote="FROM python:3.9"),
                    searched=Searched(patterns=["workflow files"], files=[".github/workflows/* (0 files)"]),
                )
            ],
        ),
    }

    def claim(name: str) -> Claim:
        return known.get(name, Claim(text="not found in the repository", state=ClaimState.UNKNOWN))

    sections = {key: {name: claim(name) for name in fields} for key, (_, fields) in SECTION_FIELDS.items()}
    rows = [
        PipelineRow(
            stage="Data Prep",
            tool=_present("pandas", quote(root, "train.py", 6)),
            automation=claim(""),
            monitoring=claim(""),
        ),
        PipelineRow(
            stage="Training",
            tool=_present("scikit-learn", quote(root, "train.py", 2)),
            automation=claim(""),
            monitoring=claim(""),
        ),
        PipelineRow(
            stage="Validation",
            tool=_present("hold-out | accuracy", quote(root, "train.py", 11)),
            automation=claim(""),
            monitoring=claim(""),
        ),
    ]
    return Sections.model_validate({**sections, "training_pipeline": rows})


def _present(text: str, evidence: Quote) -> Claim:
    return Claim(text=text, state=ClaimState.PRESENT, evidence=[evidence])


def _coverage() -> Coverage:
    return Coverage(
        state="partial",
        steps=[CoveredStep(step=step, name=name, state=StepState.DONE) for step, name in STEP_NAMES.items()],
        files_scanned=5,
        files_skipped=[SkippedFile(path="data/churn.csv", reason="larger than 2 MB")],
        skipped_total=1,
    )


def _score(root: Path) -> Score:
    states = {"Data": "maaonnx", "Model": "monnnnx", "Infrastructure": "anmnoxx", "Monitoring": "nnnnxxx"}
    names = {
        "a": (TestState.AUTOMATED, 1.0),
        "m": (TestState.MANUAL, 0.5),
        "n": (TestState.NOT_OBSERVED, 0.0),
        "o": (TestState.NOT_OBSERVED, 0.0),
        "x": (TestState.NOT_OBSERVABLE, 0.0),
    }
    tests = [
        ScoredTest(
            id=f"{section}-{index}",
            section=section,  # type: ignore[arg-type]  # the keys above are the literals
            title=f"Test {index} of {section.lower()}",
            state=names[letter][0],
            points=names[letter][1],
            evidence=[quote(root, "train.py", 11)] if letter == "m" else [],
        )
        for section, letters in states.items()
        for index, letter in enumerate(letters, 1)
    ]
    readiness = [55, 40, 30, 25, 20, 60, 0, 0, 45, None]
    return Score(
        ml_test_score=0.0,
        sections={section: sum(test.points for test in tests if test.section == section) for section in states},
        observable={
            section: sum(test.section == section and test.state is not TestState.NOT_OBSERVABLE for test in tests)
            for section in states
        },
        tests=tests,
        steps=[
            StepScore(
                step=step,
                name=STEP_NAMES[step],
                readiness=value,
                checks_applicable=0 if value is None else 20,
                checks_failed=0 if value is None else 20 - value // 5,
            )
            for step, value in enumerate(readiness, 1)
        ],
        maturity="Level 0: manual. Nothing that would catch a bad model runs by itself.",
    )


@pytest.fixture(scope="session")
def filled(report: Report) -> Callable[[str], Report]:
    """The sample with one text wherever a report carries text of the repository's authors, a model or a peer."""
    return lambda text: _everywhere(report, text)


def _everywhere(report: Report, text: str) -> Report:
    path = text or "empty"
    data = report.model_dump()
    fixed = {"kind", "state", "stage", "section", "severity", "confidence", "origin", "mode", "started", "finished"}
    fixed |= {"schema_version", "rule", "sha256", "digest", "by_agent"}

    def fill(value: object, key: str = "") -> object:
        if isinstance(value, dict):
            return {name: fill(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [fill(item, key) for item in value]
        if not isinstance(value, str) or key in fixed:
            return value
        return path if key == "path" else text

    return Report.model_validate(fill(data))
