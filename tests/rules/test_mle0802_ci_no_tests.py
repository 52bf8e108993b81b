import pytest

CI = """\
on: [push]
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: %s
"""
WHERE = ".github/workflows/ci.yml"


@pytest.mark.parametrize("command", ["docker build .", "pip install pytest", "flake8 tests", "make lint"])
def test_a_pipeline_without_tests_is_reported_at_its_job(check, place, command):
    files = {WHERE: CI % command, "Makefile": "lint:\n\truff check .\n", "a.py": ""}
    (finding,) = check("MLE0802", files)
    assert (place(finding), finding.severity.value) == ((WHERE, 3), "high")


@pytest.mark.parametrize(
    "command",
    [
        "pytest -q",
        "python -m pytest",
        "coverage run -m pytest",
        "poetry run pytest",
        "make check",
        "tox",
        "nox -s tests",
        "just test",
        "bash scripts/ci.sh",
        "python -m unittest discover",
        "docker compose run app pytest",
        "python tests/test_model.py",
        "uv run --python=${{ matrix.python }} --group test -- pytest",
        "scheduler submit jobs/check.yaml --wait",
        "docker compose exec -T api bash scripts/tests-start.sh",
        "cd backend && bash scripts/all.sh",
        "npx playwright test",
    ],
)
def test_tests_behind_a_task_or_a_script_count(check, command):
    files = {
        WHERE: CI % command,
        "Makefile": "check: lint\n\tpython -m pytest tests\nlint:\n\truff check .\n",
        "scripts/ci.sh": "set -e\npytest\n",
        "backend/scripts/all.sh": "bash scripts/check.sh\n",
        "backend/scripts/check.sh": "pytest\n",
        "scripts/check.sh": "ruff check\n",
        "jobs/check.yaml": "name: check\nentrypoint: bash scripts/ci.sh\n",
        "tests/test_model.py": "def test():\n    assert 1\n",
    }
    assert check("MLE0802", files) == []


def test_a_pipeline_kept_elsewhere_is_unknown(check):
    text = "on: push\njobs:\n  a:\n    uses: org/shared/.github/workflows/python.yml@v1\n"
    assert check("MLE0802", {WHERE: text}) == []


def test_a_local_action_is_followed(check):
    action = "runs:\n  using: composite\n  steps:\n    - run: pytest\n      shell: bash\n"
    files = {
        WHERE: (CI % "ls").replace("actions/checkout@v4", "./.github/actions/t"),
        ".github/actions/t/action.yml": action,
    }
    assert check("MLE0802", files) == []


def test_without_a_pipeline_another_rule_speaks(check):
    assert check("MLE0802", {"a.py": ""}) == []


def test_a_shared_library_of_jenkins_is_unknown(check):
    assert check("MLE0802", {"Jenkinsfile": "@Library('pipelines') _\nbuildPythonService()\n"}) == []


def test_the_stages_of_travis(check):
    head = "language: python\njobs:\n  include:\n    - stage: test\n      script:\n        - {run}\n"
    files = {"script/test": "#!/usr/bin/env bash\npytest -v\n", "tests/test_a.py": "def test_a():\n    assert 1\n"}
    assert check("MLE0802", {**files, ".travis.yml": head.format(run="script/test")}) == []
    assert len(check("MLE0802", {**files, ".travis.yml": head.format(run="flake8 .")})) == 1


@pytest.mark.parametrize("command", ["nox -s ${{ matrix.type }}", "pixi run -e ${{ matrix.env }} tests"])
def test_a_session_that_the_matrix_names_may_be_that_of_the_tests(check, command):
    text = f"on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: {command}\n"
    project = "[tool.pixi.feature.tests.tasks]\ntests = 'pytest'\n"
    assert check("MLE0802", {".github/workflows/ci.yml": text, "a.py": "", "pyproject.toml": project}) == []


def test_a_step_called_a_test_that_starts_the_program(check):
    workflow = (
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      - name: {name}\n        run: {run}\n"
    )
    assert check("MLE0802", {".github/workflows/a.yml": workflow.format(name="Test chat", run="chat 'Why?'")}) == []
    for name, run in (("Test dependencies", "chat"), ("Test", "pip install ."), ("Chat", "chat 'Why?'")):
        assert len(check("MLE0802", {".github/workflows/a.yml": workflow.format(name=name, run=run)})) == 1


def test_a_task_of_a_runner_in_the_folder(check):
    text = "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: ./batect --output=all {}\n"
    assert check("MLE0802", {".github/workflows/ci.yml": text.format("api-test"), "a.py": ""}) == []
    assert len(check("MLE0802", {".github/workflows/ci.yml": text.format("train"), "a.py": ""})) == 1


@pytest.mark.parametrize(("end", "found"), [(" || echo done", 1), ("", 0)])
def test_a_trial_whose_failure_is_waved_through_tests_nothing(check, end, found):
    step = f"ls\n      - name: Test the service\n        run: docker compose exec -T api ./ask{end}"
    assert len(check("MLE0802", {WHERE: CI % step, "a.py": ""})) == found
