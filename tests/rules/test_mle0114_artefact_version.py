import pickle

import pytest

MODEL = pickle.dumps({"_sklearn_version": "1.2.1"})


@pytest.mark.parametrize(
    ("requirement", "severity"),
    [
        ("scikit-learn==1.3.2", "high"),
        ("scikit_learn", "high"),
        ("scikit-learn>=1.0", "high"),
        ("scikit-learn==1.2.2", "low"),
        ("scikit-learn==1.2.1", None),
        ("scikit-learn~=1.2.0", None),
    ],
)
def test_the_declaration_decides(check, place, requirement, severity):
    found = check("MLE0114", {"models/m.pkl": MODEL, "requirements.txt": f"numpy\n{requirement}\n"})
    assert [f.severity.value for f in found] == ([severity] if severity else [])
    if found:
        assert place(found[0]) == ("requirements.txt", 2)
        assert [e.path for e in found[0].evidence] == ["requirements.txt", "models/m.pkl"]


def test_undeclared_is_open(check, place):
    (finding,) = check("MLE0114", {"models/m.pkl": MODEL})
    assert place(finding) == ("models/m.pkl", 1)


def test_a_lock_wins_over_a_range(check):
    lock = '[[package]]\nname = "scikit-learn"\nversion = "1.2.1"\n'
    project = '[project]\nname = "x"\ndependencies = ["scikit-learn>=1"]\n'
    assert check("MLE0114", {"m.pkl": MODEL, "uv.lock": lock, "pyproject.toml": project}) == []


def keras(version):
    return b"\x89HDF\r\n\x1a\n" + b"keras_version\0" + b"\0" * 20 + version + b"\0" * 40


def test_keras_files_break_between_majors_only(check):
    assert check("MLE0114", {"m.h5": keras(b"2.2.4"), "requirements.txt": "tensorflow==2.8.0\n"}) == []
    (finding,) = check("MLE0114", {"m.h5": keras(b"2.2.4"), "requirements.txt": "tensorflow>=2.4\n"})
    assert finding.severity == "high"


def test_fixtures_of_tests_are_left_out(check):
    assert check("MLE0114", {"tests/m.pkl": MODEL}) == []


def test_what_one_example_asks_for_is_not_for_another(check):
    lock = '[[package]]\nname = "scikit-learn"\nversion = "1.2.1"\n'
    files = {"uv.lock": lock, "docs/a/requirements.txt": "scikit-learn==1.3.0\n", "docs/a/m.pkl": MODEL}
    (finding,) = check("MLE0114", {**files, "docs/b/m.pkl": MODEL})
    assert [e.path for e in finding.evidence] == ["docs/a/requirements.txt", "docs/a/m.pkl"]
