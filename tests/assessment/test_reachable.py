"""What starts a file: modules that a program imports by a name put together, and the script of an installation."""

from pathlib import Path

from ml_engineer.assessment.reachable import declared, reached
from ml_engineer.assessment.repo import Repo


def test_modules_of_a_folder_that_a_program_imports_one_of(tmp_path: Path) -> None:
    (tmp_path / "src/jobs").mkdir(parents=True)
    (tmp_path / "src/jobs/train.py").write_text("def run_job(a):\n    return missing\ndef other():\n    return 1\n")
    (tmp_path / "src/jobs_of_others.py").write_text("def run_job(a):\n    return 1\n")
    load = "module = importlib.import_module(f'jobs.{sys.argv[1]}')\n"
    (tmp_path / "main.py").write_text(
        f"import importlib, sys\nif __name__ == '__main__':\n    {load}    module.run_job(1)\n"
    )
    repo = Repo.open(tmp_path)
    assert [m.path for m in reached(repo)] == ["main.py", "src/jobs/train.py"]
    functions = repo.by_path["src/jobs/train.py"].functions
    inside = [declared(repo).covers(f.module, f.node.body[0]) for f in (functions["run_job"], functions["other"])]
    assert inside == [True, False]


def test_the_script_of_an_installation_is_run(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("from setuptools import setup\nsetup(packages=setuptools.find_packages())\n")
    assert [m.path for m in reached(Repo.open(tmp_path))] == ["setup.py"]
