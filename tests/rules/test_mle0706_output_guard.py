TRAIN = "import joblib\nfrom sklearn.ensemble import {kind}\nm = {kind}()\nm.fit(X, y)\njoblib.dump(m, 'm')\n"
APP = """
import joblib, math
from flask import Flask, request
app = Flask(__name__)
model = joblib.load("m")
@app.route("/p")
def p():
    y = model.predict([[float(request.args["x"])]])[0]
    {line}
    return str(y)
"""


def run(check, kind, line):
    return check("MLE0706", {"train.py": TRAIN.format(kind=kind), "app.py": APP.format(line=line)})


def test_a_regressors_number_goes_out_as_it_is(check, place):
    (finding,) = run(check, "RandomForestRegressor", "pass")
    assert (finding.severity.value, place(finding)) == ("low", ("app.py", 8))


def test_a_guard_or_a_classifier(check):
    assert run(check, "RandomForestRegressor", "assert math.isfinite(y)") == []
    assert run(check, "RandomForestClassifier", "pass") == []
