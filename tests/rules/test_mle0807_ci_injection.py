import pytest

WHERE = ".github/workflows/ci.yml"
TEXT = 'on: pull_request\njobs:\n  a:\n    steps:\n      - run: |\n          ls\n          echo "${{ %s }}"\n'


@pytest.mark.parametrize(
    "value", ["github.event.head_commit.message", "github.head_ref", "github.event.pull_request.title"]
)
def test_text_from_outside_in_a_script_is_reported_at_its_line(check, place, value):
    (finding,) = check("MLE0807/injection", {WHERE: TEXT % value})
    assert (place(finding), finding.severity.value) == ((WHERE, 7), "high")


@pytest.mark.parametrize("value", ["github.ref", "github.event_name", "github.event.number", "secrets.X", "matrix.py"])
def test_what_no_stranger_writes_is_fine(check, value):
    assert check("MLE0807/injection", {WHERE: TEXT % value}) == []


def test_the_environment_is_the_right_way(check):
    text = "on: push\njobs:\n  a:\n    steps:\n      - run: echo \"$T\"\n        env: {T: '${{ github.head_ref }}'}\n"
    assert check("MLE0807/injection", {WHERE: text}) == []
