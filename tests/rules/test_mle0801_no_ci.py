APP = "from flask import Flask\napp = Flask(__name__)\n@app.route('/predict')\ndef predict():\n    return ''\n"


def test_no_pipeline_is_reported_at_what_would_be_checked(check, place):
    (finding,) = check("MLE0801", {"app.py": APP})
    assert place(finding) == ("app.py", 3)
    assert ".gitlab-ci.yml" in finding.evidence[0].searched.patterns


def test_any_service_will_do(check):
    assert check("MLE0801", {"app.py": APP, ".github/workflows/a.yml": "on: push\njobs: {a: {steps: []}}\n"}) == []
    assert check("MLE0801", {"app.py": APP, ".buildkite/pipeline.yml": "steps: []\n"}) == []


def test_a_folder_of_notebooks_has_nothing_to_run(check):
    assert check("MLE0801", {"a.ipynb": '{"cells": []}'}) == []
