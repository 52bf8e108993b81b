"""What the profile says of a service: which routes ask the model, what serves, on which ports, from which data."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from ml_engineer.assessment import profile
from ml_engineer.assessment.repo import Repo
from ml_engineer.assessment.rule import Site


@pytest.fixture
def facts(tmp_path: Path):
    def read(files: dict[str, str]) -> dict[str, str]:
        for path, content in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(textwrap.dedent(content))
        return {fact.name: fact.value for fact in profile.build(Repo.open(tmp_path))}

    return read


def test_the_route_that_asks_the_model_stands_before_the_others(facts):
    told = facts({
        "admin.py": """
            from fastapi import APIRouter
            router = APIRouter()
            @router.get("/users")
            def users():
                return []
            """,
        "predict.py": """
            import joblib
            from fastapi import FastAPI
            from admin import router
            app = FastAPI()
            app.include_router(router)
            model = joblib.load("m.joblib")
            @app.post("/predict")
            def predict(x: float):
                return model.predict([[x]])
            """,
    })  # fmt: skip
    assert told["Serving entry point"] == "predict.py (predict), admin.py (users)"


def test_a_page_whose_own_file_is_called_like_its_framework(facts):
    told = facts({"streamlit/streamlit.py": "import streamlit as st\nst.title('Prices')\n"})
    assert told["Serving framework"] == "Streamlit"


@pytest.mark.parametrize(
    ("path", "text", "name"),
    [
        ("start.sh", "torchserve --start --models m=m.mar\n", "TorchServe"),
        ("Dockerfile", "FROM nvcr.io/nvidia/tritonserver:24.08-py3\n", "Triton"),
        ("docker-compose.yml", "services:\n  model:\n    image: tensorflow/serving:2.15.0\n", "TensorFlow Serving"),
    ],
)
def test_a_model_server_without_code_of_ones_own(facts, path, text, name):
    assert facts({path: text, "a.py": "import torchvision\n"})["Serving framework"] == name


def test_ports_of_start_commands_and_of_compose(facts):
    told = facts({
        "Dockerfile": "FROM python:3.12\nWORKDIR /app\nCOPY . .\nCMD uvicorn app:app --host 0.0.0.0 --port 8000\n",
        "docker-compose.yml": "services:\n  api:\n    build: .\n    ports: ['80:9000']\n  db:\n    image: postgres:16\n"
        "    ports: ['5432:5432']\n",
        "app.py": "",
    })  # fmt: skip
    assert told["Ports"] == "8000, 9000"


def test_an_empty_path_is_no_source_of_data(facts):
    told = facts({"t.py": "from torchvision import datasets\nroot = ''\nd = datasets.EMNIST(root, split='balanced')\n"})
    assert told["Data sources"] == "torchvision.datasets.EMNIST(…)"
    assert told["Framework"] == "PyTorch"


def test_a_close_word_for_the_model_leaves_out_the_wide_one(tmp_path):
    (tmp_path / "train.py").write_text(
        "import torch, segmentation_models_pytorch as smp\n"
        "net = smp.Unet('resnet34')\nloss = torch.nn.CrossEntropyLoss()(net(x), y)\n"
    )
    repo = Repo.open(tmp_path)
    assert [known.value for known in profile.model_types(repo)] == ["Image segmentation"]
    (tmp_path / "more.py").write_text("import torch.nn.functional as F\nF.binary_cross_entropy_with_logits(x, y)\n")
    assert "Classification" not in [known.value for known in profile.model_types(Repo.open(tmp_path))]
    (tmp_path / "train.py").unlink()
    assert [known.value for known in profile.model_types(Repo.open(tmp_path))] == ["Classification"]


@pytest.mark.parametrize(("call", "kinds"), [("self.generate()", []), ("self.generate(ids, 20)", ["Text generation"])])
def test_an_objects_own_generate_without_a_prompt_writes_no_text(tmp_path, call, kinds):
    code = f"import torch\nclass Net:\n    def __init__(self):\n        self.boxes = {call}\n"
    (tmp_path / "net.py").write_text(code + "    def generate(self, *a):\n        return 1\n")
    assert [known.value for known in profile.model_types(Repo.open(tmp_path))] == kinds


def test_a_query_is_shown_in_one_line(tmp_path):
    (tmp_path / "load.py").write_text("import pandas as pd\nr = pd.read_sql('''\nSELECT id\nFROM  product\n''', c)\n")
    assert [known.value for known in profile.data_sources(Repo.open(tmp_path))] == ["SELECT id FROM product"]


NET = "import torch\nclass Net(torch.nn.Module):\n    pass\n"
ANSWER = (
    "import torch\nfrom net import Net\nnet = Net()\nnet.load_state_dict(torch.load('n.pt'))\nnet.eval()\ny = net(x)\n"
)


def test_a_script_that_asks_a_torch_model_is_a_batch(facts):
    assert facts({"net.py": NET, "infer.py": ANSWER})["Deployment pattern"] == "Batch"


def test_a_script_that_trains_is_none(facts):
    train = ANSWER + "loss(y).backward()\noptimizer.step()\n"
    assert "Deployment pattern" not in facts({"net.py": NET, "infer.py": train})


def test_what_is_known_twice_is_named_once():
    site = Site("Dockerfile", 1, 1, "FROM python:3.12", None, "")
    known = profile.join(
        [profile.Known("Docker (python:3.12)", (site,)), profile.Known("Docker (python:3.12)", (site,))]
    )
    assert known is not None
    assert known.value == "Docker (python:3.12)"
