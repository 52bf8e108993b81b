import json

TRAIN = """
import json, joblib
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
df = pd.read_csv("d.csv")
scaler = StandardScaler()
model = LogisticRegression()
model.fit(scaler.fit_transform(df[["a"]]), df["y"])
joblib.dump(model, "m.joblib")
"""
SERVE = "import joblib\nm = joblib.load('m.joblib')\nprint(m.predict(X))\n"


def test_a_model_without_a_profile_of_its_data(check, place):
    (finding,) = check("MLE0704", {"train.py": TRAIN, "score.py": SERVE})
    assert (finding.severity.value, place(finding)) == ("medium", ("train.py", 10))


def test_a_dumped_scaler_is_half_of_a_reference(check):
    (finding,) = check("MLE0704", {"train.py": TRAIN + "joblib.dump(scaler, 's.joblib')\n", "score.py": SERVE})
    assert finding.severity.value == "low"


def test_a_profile_a_schema_or_a_signature_is_a_reference(check):
    lines = [
        "df.describe().to_json('profile.json')\n",
        "reference = df.sample(100)\nreference.to_parquet('sample.parquet')\n",
        "stats = {'a': df['a'].mean()}\njson.dump(stats, open('stats.json', 'w'))\n",
        "import mlflow\nmlflow.sklearn.log_model(model, 'm', input_example=df[:2])\n",
    ]
    for line in lines:
        assert check("MLE0704", {"train.py": TRAIN + line, "score.py": SERVE}) == []


def test_a_model_of_a_table_is_for_use_elsewhere(check, place):
    (finding,) = check("MLE0704", {"train.py": TRAIN})
    assert (finding.severity.value, place(finding)) == ("medium", ("train.py", 10))
    assert check("MLE0704", {"train.py": TRAIN.replace("joblib.dump", "print")}) == []


def test_figures_of_the_training_are_no_reference(check, place):
    curves = "stats = {'train_loss': losses, 'epochs': 3}\njson.dump(stats, open('stats.json', 'w'))\n"
    (finding,) = check("MLE0704", {"train.py": TRAIN + curves})
    assert place(finding) == ("train.py", 10)


def test_a_wrapper_that_writes_is_seen_through(check, place):
    text = TRAIN.replace("joblib.dump(model", "save(model").replace("import json, joblib", "from io_ import save")
    files = {
        "train.py": text + "save(scaler, 's.joblib')\n",
        "io_.py": "import joblib\ndef save(thing, path):\n    joblib.dump(thing, path)\n",
        "score.py": SERVE,
    }
    (finding,) = check("MLE0704", files)
    assert (finding.severity.value, place(finding)) == ("low", ("train.py", 10))


def test_a_script_that_asks_a_torch_model_puts_it_to_use(check, place):
    head = "import torch\nfrom net import Net\nnet = Net()\n"
    files = {
        "net.py": "import torch\nclass Net(torch.nn.Module):\n    pass\n",
        "train.py": head + "loss(net(x)).backward()\ntorch.save(net.state_dict(), 'n.pt')\n",
        "infer.py": head + "net.load_state_dict(torch.load('n.pt'))\ny = net(x)\n",
    }
    (finding,) = check("MLE0704", files)
    assert place(finding) == ("train.py", 5)
    assert check("MLE0704", files | {"infer.py": "x = 1\n"}) == []


def test_a_callback_of_keras_saves_the_model(check, place):
    files = {
        "train.py": "from keras.callbacks import ModelCheckpoint\nfrom keras.models import Sequential\n"
        "model = Sequential()\nmodel.fit(x, y, callbacks=[ModelCheckpoint('m.h5')])\n",
        "demo.py": "from keras.models import load_model\nm = load_model('m.h5')\nprint(m.predict(x))\n",
    }
    (finding,) = check("MLE0704", files)
    assert place(finding) == ("train.py", 4)


def test_what_is_called_an_index_is_no_model(check):
    code = "import joblib, pandas as pd\nfrom sklearn.svm import SVC\ndf = pd.read_csv('d.csv')\nSVC().fit(df, df)\n"
    assert check("MLE0704", {"train.py": code + "index = df.index\njoblib.dump(index, 'i.pkl')\n"}) == []


def test_lightnings_trainer_saves_the_model(check, place):
    files = {
        "train.py": "import hydra\ntrainer = hydra.utils.instantiate(cfg)\ntrainer.fit(model, data)\n",
        "net.py": "import torch\nclass Net(torch.nn.Module):\n    pass\n",
        "demo.py": "import torch\nfrom net import Net\nn = Net()\nn.load_state_dict(torch.load('n.pt'))\ny = n(x)\n",
    }
    (finding,) = check("MLE0704", files)
    assert place(finding) == ("train.py", 3)


def test_a_service_that_trains_on_request_is_asked_too(check, place):
    text = """
        import joblib
        import pandas as pd
        from flask import Flask
        from sklearn.svm import SVC
        app = Flask(__name__)
        @app.route("/train")
        def train():
            df = pd.read_csv("d.csv")
            model = SVC().fit(df[["a"]], df["y"])
            joblib.dump(model, "m.joblib")
            return "done"
        """
    (finding,) = check("MLE0704", {"app.py": text})
    assert place(finding) == ("app.py", 11)


def test_a_notebook_whose_model_nothing_asks_is_low(check):
    lines = ["import joblib, pandas as pd\n", "from sklearn.svm import SVC\n", "df = pd.read_csv('d.csv')\n"]
    lines += ["model = SVC().fit(df, df.y)\n", "joblib.dump(model, 'm.pkl')\n"]
    notebook = {"cells": [{"cell_type": "code", "source": lines, "outputs": [], "execution_count": 1, "metadata": {}}]}
    files = {"a.ipynb": json.dumps({**notebook, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})}
    (finding,) = check("MLE0704", files)
    assert finding.severity.value == "low"
    (finding,) = check("MLE0704", {**files, "app.py": "import joblib\nm = joblib.load('m.pkl')\nprint(m.predict(x))\n"})
    assert finding.severity.value == "medium"


def test_a_trainer_that_a_configuration_makes_and_a_network_that_infers(check, place):
    files = {
        "train.py": "from helpers import object_from_dict\ntrainer = object_from_dict(cfg)\ntrainer.fit(model)\n",
        "net.py": "import torch\nclass Net(torch.nn.Module):\n    def infer(self, x):\n        return self(x)\n",
        "demo.py": "import torch\nfrom net import Net\nn = Net()\nn.load_state_dict(torch.load('n'))\ny = n.infer(x)\n",
    }
    (finding,) = check("MLE0704", files)
    assert place(finding) == ("train.py", 3)
