import pytest

APP = """
import joblib
from flask import Flask, request
app = Flask(__name__)
model = joblib.load("m")
@app.route("/p")
def p():
    return str(model.predict([[request.args["x"]]]))
"""
TIMED = "import time\ndef test_fast():\n    start = time.time()\n    elapsed = time.time() - start\n"


def test_a_service_without_any_measurement(check, place):
    (finding,) = check("MLE0609", {"app.py": APP})
    assert place(finding) == ("app.py", 4)


@pytest.mark.parametrize(
    "files",
    [
        {"locustfile.py": "from locust import HttpUser\n"},
        {"load/run.js": "import http from 'k6/http';\n"},
        {"tests/test_speed.py": TIMED + "    assert elapsed < 0.2\n"},
        {"Makefile": "load:\n\they -n 1000 http://localhost\n"},
    ],
)
def test_load_tests_and_budgets_count(check, files):
    assert check("MLE0609", {"app.py": APP, **files}) == []


def test_a_clock_without_a_budget_is_no_evidence(check):
    assert len(check("MLE0609", {"app.py": APP, "tests/test_speed.py": TIMED})) == 1


def test_batch_jobs_are_no_subject(check):
    assert check("MLE0609", {"job.py": "import joblib\njoblib.load('m').predict(X)\n"}) == []


def test_nothing_measures_a_service_on_a_model_server_either(check, place):
    text = "import litserve\nclass Api(litserve.LitAPI):\n    def predict(self, x):\n        return self.m.predict(x)\n"
    (finding,) = check("MLE0609", {"server.py": text})
    assert place(finding) == ("server.py", 2)
    assert check("MLE0609", {"server.py": text, "locustfile.py": "from locust import HttpUser\n"}) == []


def test_a_model_server_without_code_is_a_service_too(check, place):
    files = {
        "Dockerfile": "FROM nvcr.io/nvidia/tritonserver:24.08-py3\nCOPY models /models\n",
        "a.py": "import torch\n",
    }
    (finding,) = check("MLE0609", files)
    assert place(finding) == ("Dockerfile", 1)
    assert check("MLE0609", {**files, "run.sh": "perf_analyzer -m net --percentile=95\n"}) == []
