SERVE = """\
import joblib
from flask import Flask
app = Flask(__name__)
model = joblib.load("models/churn.joblib")
@app.route("/predict", methods=["POST"])
def predict():
    return str(model.predict([[1]]))
"""


def test_a_model_that_nothing_makes(check, place):
    (finding,) = check("MLE0115", {"app.py": SERVE})
    assert (place(finding), finding.severity) == (("app.py", 4), "high")


def test_outside_of_serving_and_training_it_matters_less(check):
    (finding,) = check("MLE0115", {"look.py": "import torch\nprint(torch.load('a/b.pt'))\n"})
    assert finding.severity == "low"


def test_a_producer_a_download_a_reference_or_the_file_itself(check, tmp_path):
    cases = [
        {"models/churn.joblib": b"\x80\x04N."},
        {"models/churn.joblib.dvc": "outs:\n- path: churn.joblib\n"},
        {"train.py": "import joblib\njoblib.dump(1, 'models/churn.joblib')\n"},
        {"README.md": "Download churn.joblib from the share first.\n"},
        {"train.py": "import joblib, sys\njoblib.dump(1, sys.argv[1])\n"},
    ]
    for number, extra in enumerate(cases):
        files = {f"{number}/{path}": content for path, content in {"app.py": SERVE, **extra}.items()}
        for path in list(tmp_path.iterdir()):
            path.rename(tmp_path.parent / f"{tmp_path.name}-{number}-{path.name}")
        assert check("MLE0115", files) == [], extra


def test_absolute_written_and_unknown_paths(check):
    code = "import joblib, numpy as np\njoblib.load('/srv/m.pkl')\njoblib.load(f'm{x}.pkl')\nopen('o.pkl', 'wb')\n"
    assert check("MLE0115", {"a.py": code}) == []


def test_an_image_that_copies_the_file_does_not_make_it(check):
    app = (
        "import flask, joblib\napp = flask.Flask('a')\nm = joblib.load('m.joblib')\n@app.route('/p')\ndef p():\n"
        "    return str(m.predict(flask.request.json))\n"
    )
    files = {"app.py": app, "Dockerfile": "FROM python:3.12\nCOPY app.py m.joblib ./\nCMD python app.py\n"}
    assert len(check("MLE0115", files)) == 1
    assert check("MLE0115", {**files, "Dockerfile": "FROM python:3.12\nRUN wget https://x.org/m.joblib\n"}) == []


def test_a_model_that_a_registry_gives_under_another_name(check):
    app = "import onnxruntime as ort\nfrom flask import Flask\napp = Flask(__name__)\n"
    app += "s = ort.InferenceSession('r.onnx')\n@app.route('/p')\ndef p():\n    return str(s.run(None, {}))\n"
    ci = "on: push\njobs:\n  b:\n    runs-on: ubuntu-latest\n    steps:\n      - run: COMMAND\n"
    fetched = ci.replace("COMMAND", "az ml model download --target-dir . --model-id roberta:1")
    assert check("MLE0115", {"app.py": app, ".github/workflows/b.yml": fetched}) == []
    plain = ci.replace("COMMAND", "aws s3 cp s3://bucket/rows.csv .")
    assert len(check("MLE0115", {"app.py": app, ".github/workflows/b.yml": plain})) == 1
