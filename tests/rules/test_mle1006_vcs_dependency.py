import pytest


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("git+https://github.com/huggingface/peft.git", "medium"),
        ("peft @ git+https://github.com/huggingface/peft@main", "medium"),
        ("https://github.com/a/b/archive/master.zip", "medium"),
        ("git+https://github.com/a/b.git@v1.2.0", "low"),
        ("git+https://github.com/a/b.git@8f3c1d2e4b5a69788796a5b4c3d2e1f001122334", None),
        ("https://download.pytorch.org/whl/torch-1.8.0-cp38-none-any.whl", None),
        ("peft==0.1", None),
    ],
)
def test_which_references_move(check, line, severity):
    found = check("MLE1006", {"requirements.txt": line + "\n"})
    assert [f.severity.value for f in found] == ([severity] if severity else [])


def test_a_commit_that_the_build_fills_in(check):
    assert check("MLE1006", {"requirements.txt": "git+https://github.com/a/b@{COMMIT}\n"}) == []


def test_a_repository_that_a_setup_gives_to_pip_itself(check, place):
    command = '[sys.executable, "-m", "pip", "install", "git+https://github.com/a/b"]'
    text = f"import subprocess, sys\nfrom setuptools import setup\nsubprocess.run({command})\nsetup(name='x')\n"
    (finding,) = check("MLE1006", {"setup.py": text})
    assert place(finding) == ("setup.py", 3)
    assert check("MLE1006", {"setup.py": text.replace("git+https://github.com/a/b", "b")}) == []
