import pytest

APP = """
import joblib, logging
from fastapi import FastAPI
app = FastAPI(title="api", version="1.0")
model = joblib.load("m")

@app.get("/predict")
def predict(x: float):
    y = model.predict([[x]])
    return {"y": float(y[0])%s}
"""


def test_an_answer_without_a_version(check, place):
    (finding,) = check("MLE0516", {"app.py": APP % ""})
    assert place(finding) == ("app.py", 10)


def test_a_version_in_the_answer_or_its_model(check):
    assert check("MLE0516", {"app.py": APP % ", 'model_version': VERSION"}) == []
    schema = "from pydantic import BaseModel\nclass Answer(BaseModel):\n    y: float\n    model_version: str\n"
    text = schema + (APP % "").replace('"/predict"', '"/predict", response_model=Answer')
    assert check("MLE0516", {"app.py": text}) == []


def test_a_version_in_the_log_is_enough(check):
    text = (APP % "").replace("    return", "    logging.info('run_id=%s', RUN)\n    return")
    assert check("MLE0516", {"app.py": text}) == []


def test_a_name_that_a_path_is_put_together_from_is_no_answer(check):
    text = (
        (APP % "")
        .replace('joblib.load("m")', "None")
        .replace(
            "    y = model", "    model_name = 'xgb'\n    model = joblib.load(f'{model_name}.joblib')\n    y = model"
        )
    )
    assert len(check("MLE0516", {"app.py": text})) == 1
    assert check("MLE0516", {"app.py": text.replace("float(y[0])", 'float(y[0]), "model_name": model_name')}) == []


def test_a_runner_of_bentoml_answers_without_a_version(check, place):
    text = """
        import bentoml
        runner = bentoml.sklearn.get("iris:latest").to_runner()
        svc = bentoml.Service("iris", runners=[runner])
        @svc.api(input=bentoml.io.JSON(), output=bentoml.io.JSON())
        def classify(rows):
            result = runner.run(rows)
            return result
        """
    (finding,) = check("MLE0516", {"service.py": text})
    assert place(finding) == ("service.py", 8)


def test_the_place_is_the_answer_not_what_is_returned_without_one(check, place):
    (finding,) = check("MLE0516", {"app.py": APP % "" + "    return None\n"})
    assert place(finding) == ("app.py", 10)


@pytest.mark.parametrize(("header", "found"), [('"X-Endpoint": endpoint_name', 0), ('"Content-Type": "json"', 1)])
def test_the_endpoint_that_answered_is_a_version(check, header, found):
    text = f"""
        import boto3
        runtime = boto3.client("sagemaker-runtime")
        def lambda_handler(event, context):
            endpoint_name = os.environ["ENDPOINT"]
            answer = runtime.invoke_endpoint(EndpointName=endpoint_name, Body=event["body"])
            return {{"statusCode": 200, "headers": {{{header}}}, "body": answer["Body"].read()}}
        """
    assert len(check("MLE0516", {"app.py": text})) == found
