"""A secret is quoted by nothing, also not by what has another reason to name its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_engineer.assessment.assess import assess
from ml_engineer.report.evidence import EvidenceChecker
from ml_engineer.report.schema import Absence, Quote

SECRET = "kXz9vQ2mPr7wT4"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(
        f'password = "{SECRET}"\nimport pickle\nmodel = pickle.load(open("m.pkl", "rb"))\n'
    )
    return tmp_path


def test_no_quote_holds_a_secret_and_all_still_stand_in_the_file(root: Path) -> None:
    assessment = assess(root)
    assert "MLE1010" in {finding.rule for finding in assessment.findings}
    assert SECRET not in assessment.model_dump_json()
    checker = EvidenceChecker(root, None)
    evidence = [one for finding in assessment.findings for one in finding.evidence]
    cut = [one for one in evidence if isinstance(one, Absence) and one.need.quote.startswith("password")]
    assert cut, "an absence names the line of the secret"
    assert all(checker.check(one).evidence == one for one in evidence)


@pytest.mark.parametrize(("secret", "shown"), [(SECRET, False), ("models", True)])
def test_a_secret_is_cut_from_other_lines_unless_it_may_be_a_word(root: Path, secret: str, shown: bool) -> None:
    text = f'password = "{secret}"\nimport pickle\nmodel = pickle.load(open("{secret}/m.pkl", "rb"))\n'
    (root / "app.py").write_text(text)
    assessment = assess(root)
    quotes = [one.quote for finding in assessment.findings for one in finding.evidence if isinstance(one, Quote)]
    loads = [quote for quote in quotes if "pickle.load" in quote]
    assert loads
    assert any(secret in quote for quote in loads) is shown
