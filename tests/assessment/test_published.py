"""What a published package's users get weighs more than what only stands beside it."""

import pytest

from ml_engineer.assessment.published import is_for_callers, weight
from ml_engineer.assessment.repo import Repo
from ml_engineer.assessment.rule import CRITICAL, HIGH, LOW, MEDIUM, Hit, all_rules

PUBLISHED = "[project]\nname = 'lib'\nclassifiers = ['Programming Language :: Python']\n"
PLACES = ("lib/__init__.py", "lib/core.py", "examples/a.py", "docs/b.py", "export/c.py", "fit.py", "requirements.txt")


TOLD = (("MLE0502", CRITICAL), ("MLE1010", CRITICAL), ("MLE0501", LOW), ("MLE0408", MEDIUM), ("MLE0519", MEDIUM))
RULES = {rule.id: rule for rule in all_rules()}


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
    hit = Hit([repo.files[path].site(1) for path in paths], severity=HIGH)
    assert weight(repo, RULES["MLE0501"], hit) == expected


def test_other_severities_and_other_repositories_stay_as_they_are(tmp_path):
    repo = opened(tmp_path, PUBLISHED)
    site = repo.files["examples/a.py"].site(1)
    told = [weight(repo, RULES[rule], Hit([site], severity=severity)) for rule, severity in TOLD]
    assert told == ["medium", "critical", "low", "low", "medium"]
    (tmp_path / "app").mkdir()
    repo = opened(tmp_path / "app", "[project]\nname = 'app'\n")
    assert weight(repo, RULES["MLE0501"], Hit([repo.files["examples/a.py"].site(1)], severity=HIGH)) == "high"


def test_what_a_module_does_when_it_is_tried_alone_is_no_use_of_it(tmp_path):
    repo = opened(tmp_path, PUBLISHED)
    (tmp_path / "lib/core.py").write_text("x = 1\nif __name__ == '__main__':\n    print(y)\n")
    repo = Repo.open(tmp_path)
    told = [weight(repo, RULES["MLE0306"], Hit([repo.files["lib/core.py"].site(line)])) for line in (1, 3)]
    assert told == ["critical", "medium"]


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
