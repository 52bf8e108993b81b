WHERE = ".github/workflows/ci.yml"


def test_write_all_is_reported_at_its_line(check, place):
    (finding,) = check("MLE0830", {WHERE: "on: push\npermissions: write-all\njobs: {}\n"})
    assert place(finding) == (WHERE, 2)


def test_a_job_counts_too_and_single_permissions_do_not(check, place):
    text = "on: push\npermissions: {contents: read}\njobs:\n  a:\n    permissions: write-all\n    steps: []\n"
    (finding,) = check("MLE0830", {WHERE: text})
    assert place(finding) == (WHERE, 5)
    assert check("MLE0830", {WHERE: text.replace("write-all", "{contents: write}")}) == []
