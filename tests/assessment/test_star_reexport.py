"""Names that a package passes on by `from .module import *`."""

from __future__ import annotations

from pathlib import Path

import git

from ml_engineer.assessment.repo import Repo


def test_a_class_that_a_package_passes_on_by_a_star_is_found_where_it_is_defined(tmp_path: Path):
    package = tmp_path / "trainer"
    package.mkdir()
    (package / "__init__.py").write_text("from .trainer import *\n")
    (package / "trainer.py").write_text("class Trainer:\n    def train(self):\n        pass\n")
    (tmp_path / "main.py").write_text("from trainer import Trainer\nTrainer().train()\n")
    repo = Repo.open(tmp_path)
    names = repo.by_path["main.py"].call_names
    assert names == {"trainer.trainer.Trainer", "trainer.trainer.Trainer().train"}


def test_a_star_that_brings_nothing_of_that_name_changes_nothing(tmp_path: Path):
    (tmp_path / "a.py").write_text("from b import *\n")
    (tmp_path / "b.py").write_text("x = 1\n")
    (tmp_path / "main.py").write_text("import a\na.missing()\n")
    assert Repo.open(tmp_path).by_path["main.py"].call_names == {"a.missing"}


def test_the_copies_that_jupyter_keeps_are_no_modules(tmp_path: Path):
    folder = tmp_path / ".ipynb_checkpoints"
    folder.mkdir()
    (folder / "a-checkpoint.py").write_text("x = 1\n")
    (tmp_path / "a.py").write_text("x = 1\n")
    repository = git.Repo.init(tmp_path)  # where they are tracked they are files of the project
    repository.index.add([".ipynb_checkpoints/a-checkpoint.py", "a.py"])
    repository.close()
    repo = Repo.open(tmp_path)
    assert ".ipynb_checkpoints/a-checkpoint.py" in repo.files
    assert [module.path for module in repo.modules] == ["a.py"]


def test_a_function_hides_the_submodule_of_its_name(tmp_path: Path):
    package = tmp_path / "utils"
    package.mkdir()
    (package / "__init__.py").write_text("from .setup import setup\n")
    (package / "setup.py").write_text("def setup():\n    pass\n")
    (tmp_path / "main.py").write_text("from utils import setup\nsetup()\n")
    (tmp_path / "other.py").write_text("import utils.setup as s\ns.other()\n")
    repo = Repo.open(tmp_path)
    assert repo.by_path["main.py"].call_names == {"utils.setup.setup"}
    assert repo.by_path["other.py"].call_names == {"utils.setup.other"}


def test_of_two_stars_the_one_whose_module_makes_the_name_counts(tmp_path: Path):
    (tmp_path / "model.py").write_text("from keras.layers import *\ndef unet():\n    pass\n")
    (tmp_path / "data.py").write_text("import os\n")
    (tmp_path / "main.py").write_text("from data import *\nfrom model import *\nunet()\nnowhere()\n")
    assert Repo.open(tmp_path).by_path["main.py"].call_names == {"model.unet", "?"}
