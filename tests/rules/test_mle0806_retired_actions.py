import pytest

WHERE = ".github/workflows/ci.yml"
TEXT = """\
on: push
jobs:
  a:
    runs-on: {runner}
    steps:
      - uses: {uses}
        with: {{python-version: "{python}"}}
"""


def text(uses="actions/checkout@v4", runner="ubuntu-latest", python="3.12"):
    return {WHERE: TEXT.format(uses=uses, runner=runner, python=python)}


@pytest.mark.parametrize("uses", ["actions/upload-artifact@v3", "actions/download-artifact@v1", "actions/cache@v2"])
def test_an_action_that_fails_at_once_is_high(check, place, uses):
    (finding,) = check("MLE0806", text(uses))
    assert (place(finding), finding.severity.value) == ((WHERE, 6), "high")


@pytest.mark.parametrize("runner", ["ubuntu-18.04", "[ubuntu-20.04]"])
def test_a_runner_that_is_gone(check, place, runner):
    (finding,) = check("MLE0806", text(runner=runner))
    assert (place(finding), finding.severity.value) == ((WHERE, 4), "high")


def test_a_python_that_current_runners_do_not_offer(check, place):
    (finding,) = check("MLE0806", text("actions/setup-python@v5", python="3.7"))
    assert place(finding) == (WHERE, 7)
    assert check("MLE0806", text("actions/setup-python@v5", runner="ubuntu-22.04", python="3.7")) == []


def test_an_old_action_that_still_starts_is_medium(check):
    (finding,) = check("MLE0806", text("actions/checkout@v2"))
    assert finding.severity.value == "medium"


def test_a_deprecated_command_is_medium_at_its_line(check, place):
    step = "on: push\njobs:\n  a:\n    steps:\n      - run: |\n          ls\n          echo '::set-output name=a::b'\n"
    (finding,) = check("MLE0806", {WHERE: step})
    assert (place(finding), finding.severity.value) == ((WHERE, 7), "medium")


@pytest.mark.parametrize(("name", "severity"), [("docs", "medium"), ("test-docs", "medium"), ("release", "high")])
def test_a_page_of_documentation_can_wait(check, name, severity):
    (finding,) = check("MLE0806", {f".github/workflows/{name}.yml": text("actions/upload-artifact@v2")[WHERE]})
    assert finding.severity.value == severity


@pytest.mark.parametrize("uses", ["actions/upload-artifact@v4", "actions/checkout@" + "8ade135a" * 5])
def test_current_and_pinned_ones_are_left_alone(check, uses):
    assert check("MLE0806", text(uses)) == []


def test_a_python_of_the_matrix_that_runners_no_longer_have(check, place):
    text = (
        "on: push\njobs:\n  t:\n    runs-on: ubuntu-latest\n    strategy:\n      matrix:\n"
        "        python-version: ['3.6', '3.12']\n    steps:\n      - uses: actions/setup-python@v5\n"
        "        with:\n          python-version: ${{ matrix.python-version }}\n"
    )
    (finding,) = check("MLE0806", {".github/workflows/ci.yml": text})
    assert (place(finding)[1], "3.6" in finding.title) == (7, True)
