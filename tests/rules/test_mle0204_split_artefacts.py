APP = """
import joblib
from flask import Flask, request
from sklearn.preprocessing import StandardScaler
app = Flask(__name__)
scaler = {scaler}
model = joblib.load("m.pkl")
@app.route("/p")
def p():
    return str(model.predict({data}))
"""


def test_a_loaded_scaler_that_feeds_a_loaded_model(check, place):
    (finding,) = check(
        "MLE0204", {"app.py": APP.format(scaler="joblib.load('s.pkl')", data="scaler.transform(request.json)")}
    )
    assert finding.severity.value == "medium"
    assert place(finding) == ("app.py", 6)
    assert finding.evidence[1].line_start == 7


def test_through_a_wrapper_the_callers_lines_are_named(check, place):
    files = {
        "utils.py": "import pickle\ndef load(path):\n    return pickle.load(open(path, 'rb'))\n",
        "app.py": APP.format(scaler="load('s.pkl')", data="scaler.transform(request.json)")
        .replace("joblib.load", "load")
        .replace("import joblib", "from utils import load"),
    }
    (finding,) = check("MLE0204", files)
    assert place(finding) == ("app.py", 6)


def test_one_artefact_or_one_that_does_not_feed_the_model_is_silent(check):
    assert check("MLE0204", {"app.py": APP.format(scaler="joblib.load('s.pkl')", data="request.json")}) == []
    assert check("MLE0204", {"app.py": APP.format(scaler="None", data="model.transform(request.json)")}) == []


def test_a_tokenizer_with_its_model_is_exempt(check):
    text = APP.format(scaler="AutoTokenizer.from_pretrained('x')", data="scaler.transform(request.json)")
    assert (
        check(
            "MLE0204",
            {"app.py": text.replace("import joblib", "import joblib\nfrom transformers import AutoTokenizer")},
        )
        == []
    )


def test_a_model_that_is_trained_there_from_loaded_rows(check):
    code = (
        "import joblib, flask\nfrom sklearn.svm import SVC\napp = flask.Flask(__name__)\n"
        "rows = joblib.load('rows.pkl')\n"
        "words = joblib.load('words.pkl')\nmodel = factory.get_best_model(rows)\n"
        "@app.route('/p')\ndef p():\n    return str(model.predict(words.transform(flask.request.json)))\n"
    )
    assert check("MLE0204", {"app.py": code}) == []


def test_a_network_called_with_what_a_loaded_scaler_gives(check, place):
    code = """
        import flask, joblib, torch
        from net import Net
        app = flask.Flask(__name__)
        scaler = joblib.load("scaler.pkl")
        net = Net(3)
        net.load_state_dict(torch.load("net.pt"))
        @app.route("/p")
        def p():
            rows = torch.tensor(scaler.transform([flask.request.json]))
            return str(net(rows))
        """
    files = {"net.py": "from torch import nn\nclass Net(nn.Module):\n    pass\n", "app.py": code}
    (finding,) = check("MLE0204", files)
    assert [(e.path, e.line_start) for e in finding.evidence] == [("app.py", 5), ("app.py", 7)]
    assert check("MLE0204", {**files, "app.py": code.replace("scaler.transform([flask.request.json])", "[1]")}) == []


def test_one_helper_that_loads_both(check, place):
    code = (
        "import joblib\nfrom fastapi import FastAPI\napp = FastAPI()\ndef load():\n    model = joblib.load('m.pkl')\n"
        "    encoder = joblib.load({})\n    return model, encoder\nmodel, encoder = load()\n@app.post('/p')\n"
        "def p(b: dict):\n    return float(model.predict(encoder.transform([b])))\n"
    )
    (finding,) = check("MLE0204", {"app.py": code.format("'e.pkl'")})
    assert place(finding) == ("app.py", 6)
