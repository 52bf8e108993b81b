import pytest


@pytest.mark.parametrize(
    "line",
    [
        "sys.path.append('..')",
        "sys.path.insert(0, os.path.dirname(os.path.dirname(__file__)))",
        "sys.path.append(os.getcwd())",
        "os.chdir('..')",
        "sys.path.append('/opt/code')",
    ],
)
def test_a_patched_path_is_medium(check, place, line):
    (finding,) = check("MLE0209", {"a.py": f"import os, sys\n{line}\n"})
    assert finding.severity.value == "medium"
    assert place(finding) == ("a.py", 2)


def test_one_finding_for_the_repository_and_in_tests_alone_it_is_low(check):
    hack = "import sys\nsys.path.append('..')\n"
    (tests,) = check("MLE0209", {"tests/conftest.py": hack})
    assert tests.severity.value == "low"
    (both,) = check("MLE0209", {"a.py": hack, "b.py": hack})
    assert len(both.evidence) == 2


def test_sphinx_and_paths_from_outside_are_silent(check):
    assert check("MLE0209", {"docs/conf.py": "import sys\nsys.path.insert(0, '..')\n"}) == []
    assert check("MLE0209", {"a.py": "import os, sys\nos.chdir(sys.argv[1])\nsys.path.append(plugin)\n"}) == []
