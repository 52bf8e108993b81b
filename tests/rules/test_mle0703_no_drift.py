import pytest

APP = """
import joblib
from fastapi import FastAPI
app = FastAPI()
model = joblib.load("m")
@app.get("/p")
def p(x: float):
    return model.predict([[x]])
"""


def test_a_service_that_nobody_watches(check, place):
    (finding,) = check("MLE0703", {"app.py": APP})
    assert place(finding) == ("app.py", 4)


@pytest.mark.parametrize(
    "files",
    [
        {"jobs/check.py": "from evidently.report import Report\n"},
        {"jobs/check.py": "from scipy.stats import ks_2samp\nprint(ks_2samp(a, b))\n"},
        {"jobs/check.py": "def population_stability_index(a, b):\n    return 0\n"},
        {"infra/monitor.tf": 'resource "aws_sagemaker_monitoring_schedule" "drift" {}\n'},
    ],
)
def test_a_drift_job_counts(check, files):
    assert check("MLE0703", {"app.py": APP, **files}) == []


def test_an_import_in_a_notebook_or_a_test_does_not(check):
    notebook = (
        '{"cells": [{"cell_type": "code", "source": ["import evidently"], "outputs": [], "metadata": {}, '
        '"execution_count": 1}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
    )
    files = {"app.py": APP, "explore.ipynb": notebook, "tests/test_drift.py": "import evidently\n"}
    assert len(check("MLE0703", files)) == 1


def test_a_model_server_without_code_sees_live_data_too(check, place):
    files = {"start.sh": "torchserve --start --models net=net.mar\n", "net.py": "import torch\n"}
    (finding,) = check("MLE0703", files)
    assert place(finding) == ("start.sh", 1)
    assert check("MLE0703", {**files, "drift.py": "import evidently\n"}) == []


def test_a_thing_that_is_only_called_after_a_monitor(check):
    app = "import joblib\nm = joblib.load('m')\ndef lambda_handler(event, context):\n    return m.predict(event['x'])\n"
    template = "Resources:\n  ModelMonitorBucket:\n    Type: AWS::S3::Bucket\n"
    assert len(check("MLE0703", {"app.py": app, "template.yml": template})) == 1
    schedule = "Resources:\n  S:\n    Type: AWS::SageMaker::MonitoringSchedule\n"
    assert check("MLE0703", {"app.py": app, "template.yml": schedule}) == []
