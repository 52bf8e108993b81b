WHERE = ".github/workflows/ci.yml"
SHA = "8ade135a41bc03ea155e62e844d188df1ea18608"


def steps(*uses):
    return {WHERE: "on: push\njobs:\n  a:\n    steps:\n" + "".join(f"      - uses: {name}\n" for name in uses)}


def test_a_third_party_by_tag_is_medium(check, place):
    (finding,) = check("MLE0807", steps("actions/checkout@v4", "someone/tool@v2", "other/x@main"))
    assert (place(finding), finding.severity.value) == ((WHERE, 6), "medium")
    assert len(finding.evidence) == 2


def test_only_first_parties_by_tag_is_low(check):
    (finding,) = check("MLE0807", steps("actions/checkout@v4", f"someone/tool@{SHA}"))
    assert finding.severity.value == "low"


def test_commits_and_local_actions_are_fine(check):
    assert check("MLE0807", steps(f"actions/checkout@{SHA}", "./.github/actions/x", "docker://alpine:3")) == []
