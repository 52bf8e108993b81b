"""What a published package's users get weighs more than what only stands beside it."""

import pytest

from ml_engineer.assessment.published import is_for_callers, weight
from ml_engineer.assessment.repo import Repo
from ml_engineer.assessment.rule import CRITICAL, HIGH, LOW, Hit

PUBLISHED = "[project]\nname = 'lib'\nclassifiers = ['Programming Language :: Python']\n"
PLACES = ("lib/__init__.py", "lib/core.py", "examples/a.py", "docs/b.py", "export/c.py", "fit.py", "requirements.txt")


def opened(folder, settings):
    (folder / "pyproject.toml").write_text(settings)
    for path in PLACES:
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text("x = 1\n")
    return Repo.open(folder)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["examples/a.py", "docs/b.py"], "medium"),
        (["examples/a.py", "lib/core.py"], "high"),
        (["export/c.py"], "medium"),
        (["fit.py"], "high"),
        (["requirements.txt"], "high"),
    ],
)
def test_a_high_one_is_medium_where_all_its_places_only_show(tmp_path, paths, expected):
    repo = opened(tmp_path, PUBLISHED)
    hit = Hit([repo.files[path].site(1) for path in paths])
    assert weight(repo, HIGH, hit) == expected


def test_other_severities_and_other_repositories_stay_as_they_are(tmp_path):
    repo = opened(tmp_path, PUBLISHED)
    hit = Hit([repo.files["examples/a.py"].site(1)])
    assert [weight(repo, usual, hit) for usual in (CRITICAL, LOW)] == ["critical", "low"]
    (tmp_path / "app").mkdir()
    repo = opened(tmp_path / "app", "[project]\nname = 'app'\n")
    assert weight(repo, HIGH, Hit([repo.files["examples/a.py"].site(1)])) == "high"


def test_a_function_of_the_package_works_on_what_its_caller_hands_over(tmp_path):
    repo = opened(tmp_path, PUBLISHED)
    for path in ("lib/core.py", "export/c.py"):
        (tmp_path / path).write_text("def fit(rows):\n    pass\ndef main():\n    pass\n")
    repo = Repo.open(tmp_path)
    told = {(f.module.path, name.rpartition(".")[2]): is_for_callers(repo, f) for name, f in repo.functions.items()}
    assert told == {
        ("lib/core.py", "fit"): True,
        ("lib/core.py", "main"): False,
        ("export/c.py", "fit"): False,
        ("export/c.py", "main"): False,
    }
