import pytest

APP = """
import joblib
from flask import Flask, request, jsonify
app = Flask(__name__)
model = joblib.load("m.joblib")
"""
BARE = (
    APP
    + """
@app.route("/predict", methods=["POST"])
def predict():
    data = request.get_json()
    return jsonify(float(model.predict([[data["x"]]])[0]))
"""
)


def test_json_that_goes_straight_to_the_model(check, place):
    (finding,) = check("MLE0507", {"app.py": BARE})
    assert (finding.severity.value, place(finding)) == ("high", ("app.py", 9))


def test_a_check_by_hand_is_better_than_none(check):
    text = BARE.replace("    return", '    if "x" not in data:\n        return "x is missing", 400\n    return')
    (finding,) = check("MLE0507", {"app.py": text})
    assert finding.severity.value == "medium"


def test_a_pydantic_model_in_the_handler_or_a_helper_is_a_schema(check):
    text = BARE.replace("request.get_json()", "parse(request.get_json())").replace(
        "app = Flask",
        "from pydantic import BaseModel\nclass Row(BaseModel):\n    x: float\n"
        "def parse(raw):\n    return Row(**raw).model_dump()\napp = Flask",
    )
    assert check("MLE0507", {"app.py": text}) == []


def test_typed_fastapi_is_silent_and_a_dict_is_not(check, place):
    head = "import joblib\nfrom fastapi import FastAPI\napp = FastAPI()\nmodel = joblib.load('m')\n"
    typed = head + "@app.post('/p')\ndef p(x: float, y: int = 1):\n    return model.predict([[x, y]])\n"
    assert check("MLE0507", {"app.py": typed}) == []
    loose = head + "@app.post('/p')\ndef p(payload: dict):\n    return model.predict([payload])\n"
    (finding,) = check("MLE0507", {"app.py": loose})
    assert place(finding) == ("app.py", 6)


def test_a_function_without_route_and_a_route_without_model_are_no_subject(check):
    text = BARE.replace('@app.route("/predict", methods=["POST"])\n', "")
    text += '@app.route("/echo")\ndef echo():\n    return request.args["x"]\n'
    assert check("MLE0507", {"app.py": text}) == []


def test_a_lambda_handler_is_a_route(check, place):
    text = """
        import json, joblib
        model = joblib.load("m.joblib")
        def lambda_handler(event, context):
            body = json.loads(event["body"])
            return {"statusCode": 200, "body": str(model.predict([body["x"]]))}
        """
    (finding,) = check("MLE0507", {"handler.py": text})
    assert place(finding) == ("handler.py", 5)


def test_a_model_that_cannot_be_resolved_is_known_by_its_name(check, place):
    text = """
        from fastapi import FastAPI
        from weights import model
        app = FastAPI()
        @app.post("/predict")
        def predict(data: dict):
            return model(data["x"])
        """
    (finding,) = check("MLE0507", {"app.py": text})
    assert place(finding) == ("app.py", 6)


def test_a_web_application_that_ray_carries_checks_its_own_requests(check, place):
    code = """\
        from fastapi import FastAPI
        from ray import serve
        from starlette.requests import Request
        app = FastAPI()
        @serve.deployment
        @serve.ingress(app)
        class Served:
            @app.post("/predict")
            async def answer(self, request: Request):
                data = await request.json()
                return self.model.predict(data)
        """
    (finding,) = check("MLE0507", {"s.py": code})
    assert place(finding) == ("s.py", 10)


def test_a_router_of_openais_protocol_leaves_the_schema_to_the_server_behind(check):
    code = """\
        import httpx
        from fastapi import FastAPI, Request
        app = FastAPI()
        async def predict_at(url, body):
            async with httpx.AsyncClient() as client:
                return (await client.post(url, json=body)).json()
        @app.post("{path}")
        async def handle(request: Request):
            body = await request.json()
            return await predict_at("http://vllm:8000", body)
        """
    assert check("MLE0507", {"router.py": code.format(path="/v1/chat/completions")}) == []
    assert len(check("MLE0507", {"router.py": code.format(path="/predict")})) == 1


@pytest.mark.parametrize(
    ("before", "severity"),
    [
        ("if not data.get('x'):\n        return render('page.html', error='x is missing')", "medium"),
        ("try:\n        x = float(data['x'])\n    except ValueError:\n        return 'no number'", "medium"),
        ("check(data)", "medium"),
        ("if request.method == 'POST':\n        print('asked')", "high"),
        ("if data:\n        return str(model.predict([data])[0])", "high"),
    ],
)
def test_content_that_is_checked_by_hand_is_medium(check, before, severity):
    helper = "class Odd(Exception):\n    pass\ndef check(row):\n    if row['x'] < 0:\n        raise Odd\n"
    text = BARE.replace("    return", f"    {before}\n    return").replace("\n@app", f"\n{helper}@app")
    (finding,) = check("MLE0507", {"app.py": text})
    assert finding.severity.value == severity


def test_an_object_that_is_unpickled_is_no_matter_of_a_schema(check):
    text = BARE.replace("request.get_json()", "pickle.loads(request.get_data())").replace(
        "import joblib", "import joblib, pickle"
    )
    assert check("MLE0507", {"app.py": text}) == []


def test_a_function_that_hands_the_body_to_an_endpoint(check, place):
    text = """
        import boto3
        runtime = boto3.client("sagemaker-runtime")
        def lambda_handler(event, context):
            answer = runtime.invoke_endpoint(EndpointName="e", Body=event["body"])
            return {"statusCode": 200, "body": answer["Body"].read()}
        """
    (finding,) = check("MLE0507", {"app.py": text})
    assert place(finding) == ("app.py", 5)


@pytest.mark.parametrize(
    ("annotation", "count"),
    [("List[Row]", 0), ("list[float]", 0), ("List", 1), ("list[dict]", 1), ("Dict[str, Any]", 1), ("dict", 1)],
)
def test_a_list_says_what_it_holds_or_nothing(check, annotation, count):
    text = (
        "import joblib\nfrom typing import *\nfrom fastapi import FastAPI\nfrom pydantic import BaseModel\n"
        "app = FastAPI()\nmodel = joblib.load('m')\nclass Row(BaseModel):\n    x: float\n"
        f"@app.post('/p')\ndef p(body: {annotation}):\n    return model.predict(body)\n"
    )
    assert len(check("MLE0507", {"app.py": text})) == count


def test_a_lambda_that_registers_a_model_does_not_ask_it(check):
    text = """
        from registry import create_model, apply_model
        def lambda_handler(event, context):
            return {"statusCode": 200, "body": apply_model(event["uri"])}
        """
    assert len(check("MLE0507", {"handler.py": text})) == 1
    assert check("MLE0507", {"handler.py": text.replace("apply_model(", "create_model(")}) == []


def test_a_job_that_trains_on_an_event_answers_nobody(check):
    text = """
        import json, pandas as pd
        from sklearn.svm import SVR
        model = SVR()
        def lambda_handler(event, context):
            df = pd.read_csv(event["key"])
            model.fit(df, df.y)
            return {"statusCode": 200, "body": str(model.predict(df))}
        """
    assert check("MLE0507", {"handler.py": text}) == []
    assert len(check("MLE0507", {"handler.py": text.replace("model.fit(df, df.y)", "pass")})) == 1


def test_predictions_that_are_read_from_a_table(check):
    text = """
        import pandas as pd
        from flask import Flask, request
        app = Flask(__name__)
        rows = pd.read_parquet("preds.parquet")
        def predict(find):
            return rows.loc[find["day"]]["sales"]
        @app.route("/predict", methods=["POST"])
        def p():
            return str(predict(request.get_json()))
        """
    (finding,) = check("MLE0507", {"app.py": text})
    assert finding.severity.value == "medium"
    (finding,) = check("MLE0507", {"app.py": text.replace('loc[find["day"]]["sales"]', 'predict(find["day"])')})
    assert finding.severity.value == "high"
