import pytest

from ml_engineer.assessment.repo import Repo
from ml_engineer.assessment.searchpath import declared_roots


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", "[tool.pytest.ini_options]\npythonpath = ['.', 'lib/core']\n"),
        ("setup.cfg", "[tool:pytest]\npythonpath =\n    lib/core\n"),
        ("start.sh", "cd lib\nPYTHONPATH=.:../lib/core uvicorn main:app\n"),
        ("Dockerfile", "FROM python:3.12\nENV PYTHONPATH=$PYTHONPATH:/app/lib/core\n"),
        ("Makefile", 'export PYTHONPATH := "lib/core"\n'),
    ],
)
def test_folders_that_some_file_puts_on_the_path(tmp_path, name, text):
    (tmp_path / "lib/core").mkdir(parents=True)
    (tmp_path / "lib/core/a.py").write_text("x = 1\n")
    (tmp_path / name).write_text(text)
    assert declared_roots(Repo.open(tmp_path)) == ("lib.core",)


def test_what_is_no_folder_of_code_is_none(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "start.sh").write_text("PYTHONPATH=/opt/venv:$HOME/docs python a.py\n")
    assert declared_roots(Repo.open(tmp_path)) == ()
