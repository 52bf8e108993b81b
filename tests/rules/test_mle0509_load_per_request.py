import pytest

APP = """
import joblib
from functools import lru_cache
from flask import Flask, request
app = Flask(__name__)
_model = None
"""
ROUTE = """
@app.route("/predict")
def predict():
    return str(get_model().predict([request.args["x"]]))
"""


def test_a_load_in_a_helper_module_that_the_handler_calls(check, place):
    files = {
        "app.py": APP + "from store import get_model\n" + ROUTE,
        "store.py": "import joblib\ndef get_model():\n    return joblib.load('m.joblib')\n",
    }
    (finding,) = check("MLE0509", files)
    assert (finding.severity.value, place(finding)) == ("high", ("store.py", 3))


def test_a_predictor_class_that_is_made_for_each_request(check, place):
    text = APP + (
        "class Predictor:\n    def __init__(self):\n        self.model = joblib.load('m')\n"
        "    def run(self, x):\n        return self.model.predict(x)\n"
        "@app.route('/p')\ndef p():\n    return str(Predictor().run(request.args['x']))\n"
    )
    (finding,) = check("MLE0509", {"app.py": text})
    assert place(finding) == ("app.py", 9)


@pytest.mark.parametrize(
    "getter",
    [
        "@lru_cache\ndef get_model():\n    return joblib.load('m')\n",
        (
            "def get_model():\n    global _model\n    if _model is None:\n"
            "        _model = joblib.load('m')\n    return _model\n"
        ),
        (
            "def get_model():\n    global _model\n    if _model is not None:\n        return _model\n"
            "    _model = joblib.load('m')\n    return _model\n"
        ),
        "MODEL = joblib.load('m')\ndef get_model():\n    return MODEL\n",
        (
            "class Holder:\n    def __init__(self):\n        self.model = joblib.load('m')\n"
            "    def get(self):\n        return self.model\nholder = Holder()\n"
            "def get_model():\n    return holder.get()\n"
        ),
    ],
)
def test_what_is_loaded_once_is_silent(check, getter):
    assert check("MLE0509", {"app.py": APP + getter + ROUTE}) == []


def test_a_route_that_only_reloads_is_silent(check):
    text = (
        APP
        + "@app.route('/reload')\ndef reload():\n    global _model\n    _model = joblib.load('m')\n    return 'ok'\n"
    )
    assert check("MLE0509", {"app.py": text}) == []


def test_of_a_wrapper_around_the_loader_the_caller_is_reported(check, place):
    files = {
        "app.py": APP + "from store import read\ndef get_model():\n    return read('m.pkl')\n" + ROUTE,
        "store.py": "import pickle\ndef read(path):\n    with open(path, 'rb') as f:\n        return pickle.load(f)\n",
    }
    (finding,) = check("MLE0509", files)
    assert place(finding) == ("app.py", 9)
    assert [(e.path, e.line_start) for e in finding.evidence] == [("app.py", 9), ("store.py", 4), ("app.py", 12)]
