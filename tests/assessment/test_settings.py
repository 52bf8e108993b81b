"""`[tool.ml-engineer]` of a reviewed repository: what is wrong in it is said, and does not take effect."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_engineer.assessment.repo import Repo
from ml_engineer.assessment.suppress import Ignore, read_settings

RIGHT = '{rule = "MLE0502", path = "tools/**", reason = "run by hand"}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.ml-engineer", "cannot be read"),
        ("[tool]\nml-engineer = 3", "is no table"),
        ("[tool.ml-engineer]\ningore = []", "'ingore', which is no setting; there is `ignore`"),
        ('[tool.ml-engineer]\nignore = "MLE0502"', "needs a rule and a reason"),
        ('[tool.ml-engineer]\nignore = [{rule = "MLE0502", reason = " "}]', "needs a rule and a reason"),
        ('[tool.ml-engineer]\nignore = [{rule = "MLE9999", reason = "x"}]', "there is no rule 'MLE9999'"),
        ('[tool.ml-engineer]\nignore = [{rule = "MLE0502", path = "*/*/*/*/*/*/*/*/*/*/*/*/*", reason = "x"}]', "many"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    settings = read_settings(Repo.open(tmp_path))
    assert settings.ignores == []
    (problem,) = settings.problems
    assert problem.startswith("pyproject.toml")
    assert said in problem


def test_a_wrong_entry_leaves_the_right_ones(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[tool.ml-engineer]\nignore = [{RIGHT}, {{rule = "MLE0502"}}]\n')
    settings = read_settings(Repo.open(tmp_path))
    assert settings.ignores == [Ignore("MLE0502", "tools/**", "run by hand")]
    assert len(settings.problems) == 1


def test_other_projects_settings_are_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "ml-engineer-user"\n[tool.black]\nline-length = 100\n')
    assert read_settings(Repo.open(tmp_path)).problems == []
