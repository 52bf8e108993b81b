"""A finding is the same finding after an edit that has nothing to do with it: `--baseline` shows only what is new."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_engineer.assessment.engine import run_rules
from ml_engineer.assessment.repo import Repo
from ml_engineer.assessment.rule import all_rules

SERVICE = "from flask import Flask\n\napp = Flask(__name__)\n\n\ndef main():\n    {}\n"
LINE = 'app.run(host="0.0.0.0", debug=True)'


def identity(folder: Path, code: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "app.py").write_text(code)
    (rule,) = (rule for rule in all_rules() if rule.id == "MLE0506")
    (outcome,) = run_rules(Repo.open(folder), [rule])
    (finding,) = outcome.findings
    return finding.fingerprint


@pytest.mark.parametrize(
    "code",
    [
        pytest.param('"""Moved."""\n\nimport math\n\n\n' + SERVICE.format(LINE), id="lines above"),
        pytest.param(SERVICE.format(LINE + "  # noqa: S201"), id="a comment"),
        pytest.param(SERVICE.format("app.run(host='0.0.0.0', debug=True)"), id="other quotes"),
        pytest.param(SERVICE.format('app.run(\n        host="0.0.0.0",\n        debug=True,\n    )'), id="broken up"),
        pytest.param(SERVICE.format(LINE).replace("\n", "\r\n"), id="other ends of lines"),
    ],
)
def test_it_stays_the_same_finding(tmp_path: Path, code: str) -> None:
    assert identity(tmp_path, code) == identity(tmp_path, SERVICE.format(LINE))


def test_what_differs_in_a_string_is_another_finding(tmp_path: Path) -> None:
    first, second = (identity(tmp_path, SERVICE.format(f'app.run(host="#{n}", debug=True)')) for n in (1, 2))
    assert first != second
