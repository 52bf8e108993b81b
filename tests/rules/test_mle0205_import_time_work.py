import pytest

FIT = "from sklearn.svm import SVC\nmodel = SVC().fit([[0], [1]], [0, 1])\n"


@pytest.mark.parametrize(
    "line",
    [
        "import pandas as pd; x = pd.read_csv('a.csv')",
        "import joblib; x = joblib.load('m')",
        "import requests; x = requests.get('http://a')",
    ],
)
def test_work_in_an_imported_module_is_medium(check, place, line):
    (finding,) = check("MLE0205", {"lib.py": line + "\n", "main.py": "import lib\n"})
    assert finding.severity.value == "medium"
    assert place(finding) == ("lib.py", 1)


def test_training_in_an_imported_module_is_medium_and_in_a_script_low(check):
    (imported,) = check("MLE0205", {"train.py": FIT, "job.py": "from train import model\n"})
    assert imported.severity.value == "medium"
    (script,) = check("MLE0205", {"train.py": FIT, "job.py": "print(1)\n"})
    assert script.severity.value == "low"


def test_in_the_servers_own_module_it_is_low(check):
    app = "import joblib\nfrom fastapi import FastAPI\napp = FastAPI()\nmodel = joblib.load('m')\n"
    (finding,) = check("MLE0205", {"app.py": app, "tests/test_app.py": "import app\n"})
    assert finding.severity.value == "low"


def test_functions_guards_and_plain_scripts_are_silent(check):
    guarded = (
        "import joblib\ndef load():\n    return joblib.load('m')\nif __name__ == '__main__':\n"
        "    x = joblib.load('m')\n"
    )
    assert check("MLE0205", {"lib.py": guarded, "main.py": "import lib\n"}) == []
    assert check("MLE0205", {"lib.py": "import pandas as pd\ndf = pd.read_csv('a.csv')\n", "main.py": ""}) == []


def test_a_class_or_function_that_loads_is_called_on_import(check, place):
    files = {
        "app.py": "from flask import Flask\nimport predictor\napp = Flask(__name__)\n",
        "predictor.py": """
            from transformers import pipeline
            class Predictor:
                def __init__(self):
                    self.pipe = pipeline(task="x", model="a/b")
            MADE
            """,
    }
    made = {**files, "predictor.py": files["predictor.py"].replace("MADE", "predictor = Predictor()")}
    (finding,) = check("MLE0205", made)
    assert (place(finding), finding.severity) == (("predictor.py", 6), "medium")
    assert check("MLE0205", {**files, "predictor.py": files["predictor.py"].replace("MADE", "made = None")}) == []
