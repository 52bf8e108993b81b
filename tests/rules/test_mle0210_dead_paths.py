CODE = "".join(f"# value_{n} = compute({n})\n" for n in range(10))
BODY = "import os\n" + "".join(f"def f{n}(x):\n    return os.path.join(x, '{n}')\n" for n in range(12))


def test_a_branch_that_never_runs(check, place):
    (finding,) = check("MLE0210", {"a.py": "x = 1\nif False:\n    x = 2\n"})
    assert finding.severity.value == "low"
    assert place(finding) == ("a.py", 2)


def test_code_as_comments_is_one_finding_for_a_file(check):
    (finding,) = check("MLE0210", {"a.py": "x = 1\n" + CODE + "y = 2\n" + CODE})
    assert len(finding.evidence) == 2


def test_a_copy_beside_its_original(check, place):
    (finding,) = check("MLE0210", {"model.py": BODY, "model_old.py": BODY + "x = 1\n"})
    assert place(finding)[0] == "model_old.py"


def test_prose_other_content_and_versions_without_an_original_are_silent(check):
    prose = "".join(f"# This explains the idea behind step {n}, in words.\n" for n in range(12))
    other = "".join(f"def g{n}(a, b):\n    return a * {n} + b\n" for n in range(12))
    assert check("MLE0210", {"a.py": prose, "net.py": BODY, "net_v2.py": other, "resnet_18.py": BODY}) == []
