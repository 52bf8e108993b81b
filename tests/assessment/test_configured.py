"""What a configuration file says where a program asks for it by keys."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest

from ml_engineer.assessment.configured import configured
from ml_engineer.assessment.module import UNKNOWN
from ml_engineer.assessment.repo import Repo

READ = "import yaml\ndef read(path):\n    with open(path) as f:\n        return yaml.safe_load(f)\n"
FILES = {
    "params.yaml": "serve:\n  model: models/m.joblib\n",
    "config.json": '{"BERT": "bert-base-cased", "size": 3}',
    "other.yaml": "serve:\n  model: another.joblib\n",
}


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("import yaml\nc = yaml.safe_load(open('params.yaml'))\nask(c['serve']['model'])\n", "models/m.joblib"),
        ("import yaml\nc = yaml.safe_load(open('params.yaml'))['serve']\nask(c.get('model'))\n", "models/m.joblib"),
        ("import json\nwith open('config.json') as f:\n    c = json.load(f)\nask(c['BERT'])\n", "bert-base-cased"),
        (
            READ + "def go():\n    c = read('params.yaml')\n    ask(c['serve']['model'])\n",
            "models/m.joblib",
        ),
        ("from omegaconf import OmegaConf\nc = OmegaConf.load('params.yaml')\nask(c.serve.model)\n", "models/m.joblib"),
        ("def go(config):\n    ask(config['BERT'])\n", "bert-base-cased"),  # the only file that has the key
        ("def go(config):\n    ask(config['serve']['model'])\n", UNKNOWN),  # two have it
        ("def go(row):\n    ask(row['BERT'])\n", UNKNOWN),
        ("import yaml\nc = yaml.safe_load(open('params.yaml'))\nask(c['serve']['port'])\n", UNKNOWN),
    ],
)
def test_a_value_is_found_by_its_keys(tmp_path: Path, code: str, value: object) -> None:
    for name, text in {**FILES, "app.py": textwrap.dedent(code)}.items():
        (tmp_path / name).write_text(text)
    repo = Repo.open(tmp_path)
    module = repo.by_path["app.py"]
    (call,) = (c.node for c in module.calls if isinstance(c.node.func, ast.Name) and c.node.func.id == "ask")
    assert configured(repo, module, call.args[0]) == value
