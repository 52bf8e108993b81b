import pytest

APP = "from flask import Flask\napp = Flask(__name__)\n@app.route('/predict')\ndef predict():\n    return ''\n"


def test_a_service_without_any_definition_is_reported_at_its_application(check, place):
    (finding,) = check("MLE0527", {"app.py": APP})
    assert place(finding) == ("app.py", 2)


@pytest.mark.parametrize(
    "extra",
    [
        {"Dockerfile": "FROM python:3.12\n"},
        {"Procfile": "web: gunicorn app:app\n"},
        {".project-metadata.yaml": "tasks: []\n"},
        {"deploy/api.service": "[Service]\n"},
        {"README.md": "---\nsdk: gradio\n---\n"},
        {"infra/main.tf": "resource {}\n"},
        {"assets/deploy.yml": "Resources:\n  Api:\n    Type: AWS::Serverless::Function\n"},
    ],
)
def test_any_definition_will_do(check, extra):
    assert check("MLE0527", {"app.py": APP, **extra}) == []


def test_without_a_service_there_is_nothing_to_deploy(check):
    assert check("MLE0527", {"train.py": "x = 1\n"}) == []
