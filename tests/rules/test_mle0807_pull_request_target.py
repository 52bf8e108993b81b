WHERE = ".github/workflows/ci.yml"
TEXT = """\
on: %s
jobs:
  a:
    steps:
      - uses: actions/checkout@v4
        with:
          ref: ${{ github.event.pull_request.head.sha }}
      - run: make
"""


def test_the_head_of_a_pull_request_in_a_privileged_job(check, place):
    (finding,) = check("MLE0807/pull-request-target", {WHERE: TEXT % "pull_request_target"})
    assert (place(finding), finding.severity.value) == ((WHERE, 7), "high")


def test_an_ordinary_pull_request_has_no_secrets(check):
    assert check("MLE0807/pull-request-target", {WHERE: TEXT % "pull_request"}) == []


def test_the_base_is_trusted(check):
    text = (TEXT % "pull_request_target").replace("pull_request.head.sha", "pull_request.base.sha")
    assert check("MLE0807/pull-request-target", {WHERE: text}) == []


def test_a_checkout_that_nothing_is_run_from_is_medium(check):
    (finding,) = check(
        "MLE0807/pull-request-target", {WHERE: (TEXT % "pull_request_target").replace("      - run: make\n", "")}
    )
    assert finding.severity.value == "medium"


def test_a_person_approves_before_the_code_runs(check):
    text = (TEXT % "pull_request_target").replace("jobs:\n", "jobs:\n  ask:\n    environment: outside\n", 1)
    text = text.replace("    steps:\n", "    needs: ask\n    steps:\n", 1)
    (finding,) = check("MLE0807/pull-request-target", {WHERE: text})
    assert finding.severity.value == "medium"
