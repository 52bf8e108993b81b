WHERE = ".github/workflows/ci.yml"
TEXT = "on: push\n%sjobs:\n  a:\n%s    steps: []\n"


def test_write_all_is_reported_at_its_line(check, place):
    (finding,) = check("MLE0807/permissions", {WHERE: TEXT % ("permissions: write-all\n", "")})
    assert place(finding) == (WHERE, 2)


def test_write_all_of_a_job_counts_too(check, place):
    (finding,) = check(
        "MLE0807/permissions", {WHERE: TEXT % ("permissions: {contents: read}\n", "    permissions: write-all\n")}
    )
    assert place(finding) == (WHERE, 5)


def test_a_workflow_that_limits_nothing_is_reported_at_its_job(check, place):
    (finding,) = check("MLE0807/permissions", {WHERE: TEXT % ("", "")})
    assert (place(finding), finding.confidence.value) == ((WHERE, 3), "medium")


def test_limits_of_the_workflow_or_of_every_job_are_fine(check):
    assert check("MLE0807/permissions", {WHERE: TEXT % ("permissions: {contents: read}\n", "")}) == []
    assert check("MLE0807/permissions", {WHERE: TEXT % ("", "    permissions: {contents: write}\n")}) == []
