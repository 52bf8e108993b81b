"""Functions that a platform calls by name answer requests, and a platform brings packages of its own."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from ml_engineer.assessment import platforms
from ml_engineer.assessment.repo import Repo


@pytest.fixture
def routes(tmp_path: Path):
    def of(files: dict[str, str]) -> list[tuple[str, str, str]]:
        repo = _repo(tmp_path, files)
        return [(route.framework, route.handler.dotted, route.site.path) for route in repo.routes]

    return of


def _repo(root: Path, files: dict[str, str]) -> Repo:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(textwrap.dedent(content))
    return Repo.open(root)


SCORE = "def score(event, ctx):\n    return model.predict(event['x'])\n"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            "infra.yaml",
            "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      Handler: app.score\n",
        ),
        ("serverless.yml", "service: s\n# serverless\nfunctions:\n  f:\n    handler: src/app.score\n"),
        ("stack.py", "from aws_cdk import aws_lambda\naws_lambda.Function(self, 'f', handler='app.score')\n"),
        ("Dockerfile", 'FROM public.ecr.aws/lambda/python:3.12\nCOPY app.py .\nCMD [ "app.score" ]\n'),
    ],
)
def test_a_function_that_amazons_files_name_is_a_handler(routes, path, text):
    assert routes({"src/app.py": SCORE, path: text}) == [("lambda", "src.app.score", path)]


def test_a_handler_may_call_its_context_otherwise(routes):
    code = "def lambda_handler(event, _):\n    return event\ndef handler(config, level):\n    return level\n"
    assert routes({"app.py": code}) == [("lambda", "app.lambda_handler", "app.py")]


def test_an_entry_point_of_google_and_a_request_of_azure_are_handlers(routes):
    google = "def classify(request):\n    return model.predict(request.get_json())\n"
    azure = "import azure.functions as func\ndef main(req: func.HttpRequest) -> func.HttpResponse:\n    return req\n"
    deploy = "gcloud functions deploy classify --runtime python312 --trigger-http\n"
    found = routes({"main.py": google, "deploy.sh": deploy, "Predict/__init__.py": azure})
    assert [(framework, path) for framework, _, path in found] == [
        ("azure-function", "Predict/__init__.py"),
        ("cloud-function", "deploy.sh"),
    ]


def test_an_operation_of_connexions_document_is_a_handler_whose_input_is_checked(tmp_path):
    from ml_engineer.assessment import serving

    app = "import connexion\napp = connexion.FlaskApp(__name__)\napp.add_api('api.yml')\n"
    view = "def post(body):\n    return model.predict(body)\n"
    spec = "paths:\n  /p:\n    post:\n      operationId: api.predict.post\n"
    repo = _repo(tmp_path, {"run.py": app, "api/predict.py": view, "api.yml": spec})
    (handler,) = serving.handlers(repo)
    assert handler.framework == "connexion"
    assert handler.schema is not None


def test_clouderas_model_functions_are_handlers(routes):
    serve = "def predict(args):\n    return model.predict(args['x'])\n"
    metadata = "tasks:\n  - type: build_model\n    target_file_path: code/serve.py\n    target_function_name: predict\n"
    builder = "params = {\n    'targetFilePath': 'code/serve.py',\n    'targetFunctionName': 'predict',\n}\n"
    assert routes({"code/serve.py": serve, ".project-metadata.yaml": metadata}) == [
        ("cloudera", "code.serve.predict", ".project-metadata.yaml")
    ]
    files = {"code/serve.py": serve, ".project-metadata.yaml": "tasks: []\n", "build.py": builder}
    assert routes(files) == [("cloudera", "code.serve.predict", "build.py")]


@pytest.mark.parametrize(
    ("files", "brought"),
    [
        ({"a.py": "import cdsw, pyspark\n"}, {"pyspark", "pandas"}),
        ({"a.py": "import pyspark\n", "run.sh": "spark-submit a.py\n"}, {"pyspark"}),
        ({"a.py": "import boto3\ndef lambda_handler(event, context):\n    return event\n"}, {"boto3"}),
    ],
)
def test_a_platform_brings_its_packages(tmp_path, files, brought):
    assert brought <= platforms.brought(_repo(tmp_path, files))


def test_without_a_platform_nothing_is_brought(tmp_path):
    assert not platforms.brought(_repo(tmp_path, {"a.py": "import pyspark, boto3\n"}))


def test_the_scoring_script_of_azures_workspace_answers_requests(tmp_path):
    from ml_engineer.assessment import serving

    score = (
        "import json, joblib\ndef init():\n    global model\n    model = joblib.load('m')\n"
        "def run(raw_data):\n    return model.predict(json.loads(raw_data)['data'])\n"
    )
    yaml = "code_configuration:\n  scoring_script: score.py\n"
    repo = _repo(tmp_path, {"serve/score.py": score, "deployment.yml": yaml})
    (handler,) = serving.handlers(repo)
    assert (handler.framework, handler.reads[0].node.lineno) == ("azure-ml", 6)
    assert [call.name for call in repo.closure("serve").calls("joblib.load")] == ["joblib.load"]


def test_what_a_cloudera_model_is_asked_with_may_go_on_as_a_whole(tmp_path):
    from ml_engineer.assessment import serving

    code = "import cdsw\n@cdsw.model_metrics\ndef ask(args):\n    cdsw.track_metric('in', args)\n"
    code += "    return model.predict(dict(args))\n"
    (handler,) = serving.handlers(_repo(tmp_path, {"serve.py": code}))
    assert [read.node.lineno for read in handler.reads] == [5]
