TRAIN = (
    "from sklearn.svm import SVC\ndef train():\n    return SVC().fit([[0], [1]], [0, 1])\n"
    "if __name__ == '__main__':\n    train()\n"
)


def test_without_any_test_it_is_high_at_the_training(check, place):
    (finding,) = check("MLE0313", {"train.py": TRAIN})
    assert finding.severity.value == "high"
    assert place(finding) == ("train.py", 3)
    assert finding.evidence[0].kind == "absence"


def test_tests_of_other_code_do_not_count(check):
    files = {
        "train.py": TRAIN,
        "utils.py": "x = 1\n",
        "tests/test_utils.py": "import utils\ndef test_x():\n    assert utils.x\n",
    }
    (finding,) = check("MLE0313", files)
    assert "tests/test_utils.py" in finding.evidence[0].searched.files


def test_a_file_called_test_that_evaluates_is_no_test(check):
    assert len(check("MLE0313", {"train.py": TRAIN, "test.py": "import train\nprint(train.train())\n"})) == 1


def test_a_test_that_imports_or_starts_the_training_is_enough(check):
    imports = {
        "train.py": TRAIN,
        "tests/test_train.py": "from train import train\ndef test_it():\n    assert train()\n",
    }
    assert check("MLE0313", imports) == []


def test_a_test_that_starts_the_script_is_enough(check):
    text = "import subprocess\ndef test_it():\n    subprocess.run(['python', 'train.py'], check=True)\n"
    assert check("MLE0313", {"train.py": TRAIN, "tests/test_cli.py": text}) == []


def test_without_a_model_there_is_nothing_to_test(check):
    assert check("MLE0313", {"a.py": "print(1)\n"}) == []


def test_a_test_of_a_keras_model_that_is_built_elsewhere_is_enough(check):
    files = {
        "net.py": "import tensorflow as tf\nclass Net(tf.keras.Model):\n    pass\n",
        "train.py": "from net import Net\nm = Net()\nm.fit([[1]], [1])\n",
        "tests/test_net.py": "from net import Net\ndef test_it():\n    assert Net()\n",
    }
    assert check("MLE0313", files) == []


def test_a_service_with_ready_made_weights_has_a_model_too(check, place):
    code = (
        "from flask import Flask\nfrom torchvision import models\napp = Flask(__name__)\n"
        "model = models.densenet121(pretrained=True)\n@app.route('/p')\ndef p():\n    return str(model(x))\n"
    )
    (finding,) = check("MLE0313", {"app.py": code})
    assert place(finding) == ("app.py", 4)


def test_a_test_of_a_network_that_training_makes_by_its_name_is_enough(check):
    files = {
        "net.py": "import torch\nclass Net(torch.nn.Module):\n    pass\n",
        "train.py": "import torch\nm = make(config.model)\nloss = m(x)\nloss.backward()\nopt.step()\n",
        "tests/test_net.py": "from net import Net\ndef test_it():\n    assert Net()\n",
    }
    assert check("MLE0313", files) == []


def test_a_model_that_is_only_loaded_somewhere_is_a_model(check, place):
    code = (
        "from transformers import AutoTokenizer, CLIPModel\ndef fetch(name):\n"
        "    tokens = AutoTokenizer.from_pretrained(name)\n"
        "    return tokens, CLIPModel.from_pretrained(name)\n"
    )
    (finding,) = check("MLE0313", {"models/clip.py": code})
    assert place(finding) == ("models/clip.py", 4)
    assert check("MLE0313", {"models/clip.py": code.replace("CLIPModel", "CLIPProcessor")}) == []


def test_a_network_that_a_model_server_loads_is_a_model(check, place):
    code = (
        "from torchvision.models.detection.faster_rcnn import FasterRCNN\nclass Detector(FasterRCNN):\n"
        "    def __init__(self):\n        super().__init__(None, 91)\n"
    )
    (finding,) = check("MLE0313", {"models/detector.py": code})
    assert place(finding) == ("models/detector.py", 2)
    test = "from models.detector import Detector\ndef test_it():\n    assert Detector()\n"
    assert check("MLE0313", {"models/detector.py": code, "models/__init__.py": "", "tests/test_d.py": test}) == []


NETS = "from torch import nn\nclass Net(nn.Module):\n    pass\n"
LOOP = "import torch\nfrom shapes.nets import Net\nfor x in data:\n    loss(x).backward()\n    optimizer.step()\n"


def test_tests_of_a_large_tree_are_followed_by_their_imports(check, monkeypatch):
    monkeypatch.setattr("ml_engineer.assessment.repo.LARGE_TREE", 3)
    files = {
        "shapes/__init__.py": "from .nets import Net\n",
        "shapes/nets.py": NETS,
        "benchmark.py": LOOP,
        "tests/test_other.py": "import json\ndef test_x():\n    assert json\n",
    }
    (finding,) = check("MLE0313", files)
    assert finding.evidence[0].searched.files == ["tests/test_other.py"]
    assert (
        check("MLE0313", files | {"tests/test_nets.py": "import shapes\ndef test_x():\n    assert shapes.Net()\n"})
        == []
    )


def test_a_demonstration_has_no_model_of_its_own(check):
    code = "from transformers import CLIPModel\nm = CLIPModel.from_pretrained('a/b')\n"
    assert check("MLE0313", {"examples/clip/run.py": code, "tool.py": "print(1)\n"}) == []


def test_a_test_may_import_what_it_tests_itself(check):
    model = "import transformers\npipe = transformers.pipeline('summarization')\n"
    files = {"service.py": "import load\nfrom flask import Flask\napp = Flask('a')\n", "load.py": model}
    test = "import asyncio\nasync def test_answer(mocker):\n    import service\n    assert service.app\n"
    assert check("MLE0313", files) != []
    assert check("MLE0313", files | {"tests/unit_test.py": test}) == []


def test_a_test_of_django_stands_in_tests_py(check):
    test = "from train import train\nclass T:\n    def test_it(self):\n        assert train() is not None\n"
    assert check("MLE0313", {"train.py": TRAIN, "web/tests.py": test}) == []


def test_a_file_of_tests_may_be_called_so(check):
    text = "from train import train\ndef test_it():\n    assert train()\n"
    assert check("MLE0313", {"train.py": TRAIN, "tests/model_tests.py": text}) == []


def test_a_template_is_tested_by_the_project_that_is_made_of_it(check):
    test = "from copier import Worker\ndef test_it():\n    assert Worker('.').run_copy()\n"
    files = {"template/train.py": TRAIN, "tests/test_template.py": test}
    assert len(check("MLE0313", files)) == 1
    assert check("MLE0313", {**files, "copier.yml": "name: x\n"}) == []


def test_a_test_of_the_function_that_builds_the_network_is_enough(check):
    files = {
        "train.py": "import model\nmodel.build().fit([[0]], [0])\n",
        "model.py": "import keras\ndef build():\n    return keras.Model(1, 2)\n",
        "tests/test_model.py": "import model\ndef test_it():\n    assert model.build()\n",
    }
    assert check("MLE0313", files) == []


def test_a_script_of_tests_that_make_runs_is_a_test(check):
    files = {
        "train.py": "from sklearn.svm import SVC\nmodel = SVC().fit([[0], [1]], [0, 1])\n",
        "tests/smoke.py": "import train\nassert train.model.predict([[1]]) == [1]\n",
    }
    assert len(check("MLE0313", files)) == 1
    assert check("MLE0313", {**files, "Makefile": "test:\n\tpython tests/smoke.py\n"}) == []


def test_a_program_called_test_model_that_checks_nothing_is_no_test(check):
    program = "from train import train\ndef test_model(weights):\n    return train(weights)\nprint(test_model('w'))\n"
    assert len(check("MLE0313", {"train.py": TRAIN, "test_model.py": program})) == 1


def test_an_example_that_tox_runs_is_a_test_of_what_it_asserts(check):
    files = {
        "train.py": TRAIN,
        "example.py": "from train import train\nassert train().score(x, y) > 0.5\n",
        "tox.ini": "[testenv]\ncommands = python example.py\n",
    }
    assert check("MLE0313", files) == []
    assert len(check("MLE0313", {**files, "tox.ini": "[testenv]\ncommands = flake8\n"})) == 1


def test_folders_that_pytest_puts_on_the_path(check):
    files = {
        "backend/train.py": TRAIN,
        "tests/test_train.py": "from train import train\ndef test_it():\n    assert train()\n",
    }
    assert len(check("MLE0313", files)) == 1
    settings = "[tool.pytest.ini_options]\npythonpath = [\n    '.',\n    'backend',\n]\n"
    assert check("MLE0313", {**files, "pyproject.toml": settings}) == []


def test_a_training_that_ci_runs_is_tried_at_least(check):
    flow = "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: {}\n"
    (finding,) = check(
        "MLE0313", {"train.py": TRAIN, ".github/workflows/a.yml": flow.format("python train.py --small")}
    )
    assert finding.severity.value == "medium"
    (finding,) = check("MLE0313", {"train.py": TRAIN, ".github/workflows/a.yml": flow.format("ruff check .")})
    assert finding.severity.value == "high"


def test_a_language_model_loaded_from_a_file(check, place):
    chat = "from langchain.llms import LlamaCpp\nllm = LlamaCpp(model_path='m.gguf')\nprint(llm(input()))\n"
    (finding,) = check("MLE0313", {"chat.py": chat})
    assert place(finding) == ("chat.py", 2)
    assert check("MLE0313", {"chat.py": chat.replace("LlamaCpp", "OpenAI")}) == []
