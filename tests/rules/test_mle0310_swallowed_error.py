import pytest

FIT = "from sklearn.svm import SVC\nSVC().fit([[0], [1]], [0, 1])\n"


def train(body):
    return FIT + body


def app(body):
    head = (
        "import joblib\nfrom flask import Flask, request, abort, jsonify\napp = Flask(__name__)\n"
        "@app.route('/p')\ndef p():\n"
    )
    return head + "".join(f"    {line}\n" for line in body.splitlines())


def test_pass_on_the_way_of_training_is_medium(check, place):
    (finding,) = check("MLE0310", {"train.py": train("try:\n    x = float('a')\nexcept Exception:\n    pass\n")})
    assert finding.severity.value == "medium"
    assert place(finding) == ("train.py", 5)


def test_one_finding_for_a_file_with_its_places(check):
    one = "try:\n    x = float('a')\nexcept:\n    pass\n"
    (finding,) = check("MLE0310", {"train.py": train(one + one)})
    assert len(finding.evidence) == 2


def test_log_and_fall_through_in_a_request_is_high(check, place):
    body = "x = request.json\ntry:\n    x = float(x)\nexcept Exception as e:\n    print('bad', e)\nreturn str(x)"
    (finding,) = check("MLE0310", {"app.py": app(body)})
    assert finding.severity.value == "high"
    assert place(finding) == ("app.py", 9)


def test_made_up_data_in_place_of_what_cannot_be_read_is_high(check):
    body = "import pandas as pd\ntry:\n    df = pd.read_csv('a.csv')\nexcept Exception:\n    df = make_synthetic()\n"
    (finding,) = check("MLE0310", {"train.py": train(body)})
    assert finding.severity.value == "high"


@pytest.mark.parametrize(
    "body",
    [
        "try:\n    x = float('a')\nexcept Exception as e:\n    print(e)\n    raise",
        "import sys\ntry:\n    x = float('a')\nexcept Exception as e:\n    print(e)\n    sys.exit(1)",
        "try:\n    x = float('a')\nexcept ValueError:\n    pass",
        "try:\n    x = float('a')\nexcept Exception:\n    x = 0.0",
        "try:\n    import apex\nexcept Exception:\n    pass",
        "import os\ntry:\n    os.remove('tmp')\nexcept Exception:\n    pass",
        "import wandb\ntry:\n    wandb.log({})\nexcept Exception as e:\n    print(e)",
        "while True:\n    try:\n        x = float('a')\n    except Exception as e:\n        print(e)",
        "errors = []\ntry:\n    x = float('a')\nexcept Exception as e:\n    errors.append(e)",
        "try:\n    if torch.backends.mps.is_available():\n        device = 'mps'\nexcept:\n    pass",
        (
            "def f():\n    try:\n        return float('a')\n    except Exception as e:\n        print(e)\n"
            "        return None\nf()"
        ),
    ],
)
def test_acceptable_handlers_are_silent(check, body):
    assert check("MLE0310", {"train.py": train(body + "\n")}) == []


def test_an_error_answer_is_acceptable(check):
    body = "try:\n    x = float(request.json)\nexcept Exception as e:\n    print(e)\n    abort(400)\nreturn str(x)"
    assert check("MLE0310", {"app.py": app(body)}) == []


def test_code_that_no_entry_point_reaches_is_silent(check):
    assert check("MLE0310", {"train.py": FIT, "old.py": "try:\n    f()\nexcept Exception:\n    pass\n"}) == []


def test_a_cache_that_fails_leaves_the_answer_as_good_as_before(check):
    body = "x = request.json\ntry:\n    hit = cache.get(x)\nexcept Exception as e:\n    print(e)\nreturn str(x)"
    (finding,) = check("MLE0310", {"app.py": app(body)})
    assert finding.severity.value == "medium"


@pytest.mark.parametrize(
    ("handler", "found"),
    [
        ("video = np.zeros((8, 8))", ["medium"]),
        ("log.warning('empty')\n        video = np.zeros((8, 8))", ["medium"]),
        ("video = read_again(path)", []),
        ("video = np.zeros((8, 8))\n        raise", []),
    ],
)
def test_zeros_in_place_of_what_cannot_be_read(check, handler, found):
    code = f"""
import numpy as np
def frames(path):
    try:
        video = load_frames(path)
    except Exception:
        {handler}
    return video
"""
    assert [f.severity.value for f in check("MLE0310", {"train.py": train(code + "frames('a')\n")})] == found


@pytest.mark.parametrize(("answer", "found"), [("_DummyModel()", 1), ("build_model()", 0)])
def test_a_stand_in_for_the_model(check, answer, found):
    code = f"""
def restore(path):
    try:
        model = joblib.load(path)
        return model
    except Exception as error:
        log.warning(error)
        return {answer}
"""
    assert len(check("MLE0310", {"train.py": train(code + "restore('a').predict([[0]])\n")})) == found


FLASK_ERRORS = """
from flask import Flask, jsonify
app = Flask(__name__)

@app.errorhandler(Exception)
def failed(error):
    return {answer}

@app.route("/predict")
def predict():
    return "1"
"""


def test_any_error_that_is_answered_as_a_success(check, place):
    (finding,) = check("MLE0310", {"app.py": FLASK_ERRORS.format(answer="jsonify({'error': 'failed'})")})
    assert (place(finding), finding.severity.value) == (("app.py", 6), "high")
    for answer in ("(jsonify({'error': 'failed'}), 500)", "respond(500)"):
        assert check("MLE0310", {"app.py": FLASK_ERRORS.format(answer=answer)}) == []


CURVE = """\
from sklearn import metrics
from sklearn.svm import SVC
SVC().fit(X, y)
try:
    auc = metrics.roc_auc_score(t, p)
except{which}:
    auc = {value}
print(auc)
"""


def test_a_figure_that_is_made_up(check, place):
    (finding,) = check("MLE0310", {"t.py": CURVE.format(which="", value="0.5")})
    assert (place(finding), finding.severity.value) == (("t.py", 6), "medium")
    assert check("MLE0310", {"t.py": CURVE.format(which="", value="None")}) == []
    assert check("MLE0310", {"t.py": CURVE.format(which=" ValueError", value="0.5")}) == []


ANSWERING = """\
import joblib
from fastapi import FastAPI, HTTPException
from fastapi.responses import JSONResponse
app = FastAPI()
model = joblib.load("m.joblib")

@app.post("/predict")
def predict(row: list[float]):
    try:
        return {{"value": float(model.predict([row])[0])}}
    except Exception as error:
        log.error(error)
        {answer}
"""


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("return {'error': str(error)}", [("app.py", 11)]),
        ("return JSONResponse({'detail': 'prediction failed'})", [("app.py", 11)]),
        ("return JSONResponse({'error': str(error)}, status_code=500)", []),
        ("raise HTTPException(500)", []),
        ("return {'value': None}", []),
    ],
)
def test_an_error_in_the_body_of_a_success(check, place, answer, found):
    findings = check("MLE0310", {"app.py": ANSWERING.format(answer=answer)})
    assert [place(finding) for finding in findings] == found
    assert all(finding.severity.value == "high" for finding in findings)


def test_a_function_that_only_a_platform_calls_is_no_request(check):
    code = """
    def lambda_handler(event, context):
        try:
            drift = read_drift(event["job"])
        except Exception as error:
            print(error)
        return {"drift": drift}
    """
    (finding,) = check("MLE0310", {"query.py": code})
    assert finding.severity.value == "medium"


@pytest.mark.parametrize(
    ("instead", "found"),
    [
        ("df = pd.read_csv('/home/me/old.csv')", 1),
        ("rows = pd.read_parquet('old.parquet')\n    df = rows[rows.x > 0]", 1),
        ("df = pd.read_csv('../data/a.csv', sep=';')", 0),
        ("print('table is missing')\n    df = pd.read_csv('old.csv')", 0),
        ("df = pd.read_csv('old.csv')\n    df.to_parquet('a.parquet')", 0),
    ],
)
def test_data_that_is_read_elsewhere_when_reading_fails(check, instead, found):
    code = f"import pandas as pd\ntry:\n    df = pd.read_csv('a.csv')\nexcept:\n    {instead}\nmodel.fit(df, df.y)\n"
    findings = check("MLE0310", {"train.py": "from sklearn.svm import SVC\nmodel = SVC()\n" + code})
    assert [f.severity.value for f in findings] == ["high"] * found


@pytest.mark.parametrize(("name", "found"), [("forecast_accuracy", ["medium"]), ("count_rows", [])])
def test_a_figure_that_is_returned_when_it_cannot_be_computed(check, name, found):
    code = f"def {name}(a, b):\n    try:\n        return mean(a == b)\n    except Exception as e:\n"
    code += "        print(e)\n        return 0\n"
    assert [f.severity.value for f in check("MLE0310", {"train.py": train(f"{code}{name}(1, 2)\n")})] == found


@pytest.mark.parametrize(
    ("before", "severity"), [("text = str(row) + '!'", "medium"), ("text = None", "medium"), ("text = None", "high")]
)
def test_a_value_that_was_worked_out_before_stands(check, before, severity):
    app = """
        import joblib
        from flask import Flask, request
        app = Flask(__name__)
        model = joblib.load("m.joblib")
        @app.route("/predict", methods=["POST"])
        def predict():
            row = request.json
            {}
            if row:
                try:
                    text = row["text"]
                except:
                    pass
            return str(model.predict([text if text else 1])[0])
        """
    app = app if severity == "medium" else app.replace("text if text else 1", "text")
    (finding,) = check("MLE0310", {"app.py": app.format(before)})
    assert finding.severity.value == severity


def test_a_prediction_that_is_made_up_when_the_model_fails(check):
    text = """
        import joblib
        model = joblib.load("m")
        def ask(x):
            try:
                return float(model.predict([x])[0])
            except Exception as e:
                print(e)
                {}
        def lambda_handler(event, context):
            return {{"statusCode": 200, "body": ask(event["x"])}}
        """
    (finding,) = check("MLE0310", {"app.py": text.format("return 15.0")})
    assert "made-up number" in finding.title and finding.severity.value == "high"
    assert check("MLE0310", {"app.py": text.format("raise")}) == []


def test_a_success_that_follows_whatever_was_caught(check):
    text = """
        import boto3, joblib
        model = joblib.load("m")
        def lambda_handler(event, context):
            try:
                message = str(model.predict([event["x"]]))
            except:
                message = "Something went wrong"
            return {{"statusCode": {}, "body": message}}
        """
    (finding,) = check("MLE0310", {"app.py": text.format(200)})
    assert "status 200" in finding.title
    assert check("MLE0310", {"app.py": text.format("code")}) == []


def test_settings_of_the_authors_machine(check):
    code = (
        "try:\n    bucket = event['bucket']\n    key = event['key']\nexcept Exception:\n    bucket = 'my-dev-bucket'\n"
    )
    assert len(check("MLE0310", {"train.py": train(f"{code}    key = 'data.csv'\n")})) == 1
    assert check("MLE0310", {"train.py": train(f"{code}    raise\n")}) == []


def test_a_consumer_of_messages_that_passes_over_what_it_cannot_read(check):
    code = """
        import json, torch
        from confluent_kafka import Consumer
        def {}(net, message):
            try:
                print(net(torch.tensor(json.loads(message))))
            except Exception:
                pass
        def main():
            net = torch.load("m.pt", weights_only=True)
            queue = Consumer({{"group.id": "a"}})
            while True:
                {}(net, queue.poll(1.0).value())
        main()
        """
    assert len(check("MLE0310", {"worker.py": code.format("judge", "judge")})) == 1
    assert check("MLE0310", {"worker.py": code.format("clean_up_all", "clean_up_all")}) == []
