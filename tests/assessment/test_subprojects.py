"""Code of a project below the root is imported by its package name from elsewhere in the repository."""

from pathlib import Path

from ml_engineer.assessment.repo import Repo

PROJECT = {
    "audio/pyproject.toml": "[project]\nname = 'sounds'\n",
    "audio/src/sounds/__init__.py": "",
    "audio/src/sounds/net.py": "def build():\n    return 1\n",
    "scripts/train.py": "from sounds.net import build\nbuild()\n",
}


def _called(tmp_path: Path, files: dict[str, str]) -> list[str]:
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return [call.name for call in Repo.open(tmp_path).by_path["scripts/train.py"].calls]


def test_a_package_under_src_of_an_inner_project_is_found(tmp_path):
    assert _called(tmp_path, PROJECT) == ["audio.src.sounds.net.build"]


def test_without_a_project_file_the_name_may_be_any_package(tmp_path):
    files = {path: text for path, text in PROJECT.items() if not path.endswith(".toml")}
    assert _called(tmp_path, files) == ["sounds.net.build"]


def test_a_name_of_two_projects_leads_nowhere(tmp_path):
    twice = {path.replace("audio/", "video/"): text for path, text in PROJECT.items()} | PROJECT
    assert _called(tmp_path, twice) == ["sounds.net.build"]


def test_a_package_in_a_folder_of_its_own_name_is_what_explains_the_whole_name(tmp_path):
    files = {
        "starter/__init__.py": "",
        "starter/starter/__init__.py": "",
        "starter/starter/ml/__init__.py": "",
        "starter/starter/ml/model.py": "def train():\n    return 1\n",
        "starter/test/test_model.py": "import starter.starter.ml.model as model\nmodel.train()\n",
        "scripts/train.py": "from starter.starter.ml.model import train\ntrain()\n",
    }
    assert _called(tmp_path, files) == ["starter.starter.ml.model.train"]
    inner = Repo.open(tmp_path).by_path["starter/test/test_model.py"]
    assert [call.name for call in inner.calls] == ["starter.starter.ml.model.train"]
    (tmp_path / "starter/main.py").write_text("class Row:\n    pass\nRow()\n")
    assert [call.name for call in Repo.open(tmp_path).by_path["starter/main.py"].calls] == ["starter.main.Row"]


def test_a_folder_that_a_program_puts_on_the_import_path(tmp_path):
    files = {
        "utils/rows.py": "def load():\n    return 1\n",
        "torch/main.py": "import os\nimport sys\nsys.path.insert(1, os.path.join(sys.path[0], '../utils'))\n"
        "from rows import load\nload()\n",
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    assert "utils.rows.load" in [call.name for call in Repo.open(tmp_path).by_path["torch/main.py"].calls]
