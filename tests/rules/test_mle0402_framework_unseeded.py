TRAIN = """\
import torch
import random
model = torch.nn.Linear(3, 1)
random.shuffle(rows)
for x in rows:
    model(x).backward()
"""


def test_every_generator_in_use_is_named(check, place):
    (finding,) = check("MLE0402", {"train.py": TRAIN})
    assert place(finding) == ("train.py", 6)
    assert "torch" in finding.title and "random" in finding.title and "numpy" not in finding.title


def test_one_seed_does_not_stand_for_another(check):
    (finding,) = check("MLE0402", {"train.py": TRAIN.replace("model =", "torch.manual_seed(0)\nmodel =")})
    assert "(random)" in finding.title


def test_a_helper_in_another_module_counts(check):
    files = {
        "util.py": "import torch, random\ndef prepare(n):\n    torch.manual_seed(n)\n    random.seed(n)\n",
        "train.py": "from util import prepare\nprepare(3)\n" + TRAIN,
    }
    assert check("MLE0402", files) == []


def test_a_helper_that_seeds_everything_counts(check):
    assert check("MLE0402", {"train.py": "from lightning import seed_everything\nseed_everything(1)\n" + TRAIN}) == []


def test_the_seed_of_the_script_that_starts_training_counts(check):
    files = {
        "trainer/__init__.py": "from .trainer import *\n",
        "trainer/trainer.py": "class Trainer:\n    def run(self):\n        self.epoch()\n    def epoch(self):\n"
        "        loss.backward()\n",
        "train.py": "import torch\nfrom trainer import Trainer\ntorch.manual_seed(1)\nm = torch.nn.Linear(1, 1)\n"
        "if __name__ == '__main__':\n    Trainer().run()\n",
    }
    assert check("MLE0402", files) == []


def test_pure_scikit_learn_is_another_rule(check):
    assert (
        check("MLE0402", {"t.py": "from sklearn.svm import SVC\nimport numpy as np\nSVC().fit(np.array(X), y)\n"}) == []
    )


def test_a_trainer_that_seeds_itself_is_right(check):
    code = "import torch\nfrom transformers import Trainer\nn = torch.nn.Linear(1, 1)\nTrainer(n).train()\n"
    assert check("MLE0402", {"t.py": code}) == []


def test_where_no_script_leads_to_the_training_any_seed_counts(check):
    files = {
        "step.py": "import torch\nm = torch.nn.Linear(1, 1)\ndef step(x):\n    m(x).backward()\n",
        "start.py": "import torch\ntorch.manual_seed(1)\n",
    }
    assert check("MLE0402", files) == []


def test_a_trainer_of_ray_trains(check, place):
    code = (
        "import numpy as np\nfrom ray.train.xgboost import XGBoostTrainer\nimport sklearn\nnoise = np.random.rand(3)\n"
        "trainer = XGBoostTrainer(datasets={'train': noise})\nresult = trainer.fit()\n"
    )
    (finding,) = check("MLE0402", {"t.py": code})
    assert place(finding) == ("t.py", 6)


def test_where_a_large_program_is_seen_in_part_any_seed_counts(check, monkeypatch):
    helpers = "".join(f"def f{n}():\n    f{n + 1}()\n" for n in range(20)) + "def f20():\n    seed_everything(1)\n"
    util = f"from lightning import seed_everything\n{helpers}"
    files = {"util.py": util, "train.py": f"from util import f0\nf0()\n{TRAIN}"}
    assert check("MLE0402", files) == []
    monkeypatch.setattr("ml_engineer.assessment.callgraph.MAX_UNITS", 8)
    assert check("MLE0402", files) == []
