TRAIN = "from sklearn.svm import SVC\nm = SVC()\nm.fit(X, y)\nprint(m.score(a, b))\n"
SERVE = """\
from flask import Flask
app = Flask(__name__)
@app.route("/predict")
def predict():
    return str(load().predict([[1]]))
"""


def test_trained_and_thrown_away_beside_a_service(check, place):
    (finding,) = check("MLE0416", {"train.py": TRAIN, "app.py": SERVE})
    assert place(finding) == ("train.py", 3)
    assert finding.severity == "high"


def test_a_saved_model_is_right(check):
    train = TRAIN + "import joblib\njoblib.dump(m, 'm.joblib')\n"
    assert check("MLE0416", {"train.py": train, "app.py": SERVE}) == []


def test_a_save_through_a_helper_is_right(check):
    files = {"train.py": "from util import keep\n" + TRAIN + "keep(m)\n", "app.py": SERVE}
    files["util.py"] = "import pickle\ndef keep(m):\n    pickle.dump(m, open('m.pkl', 'wb'))\n"
    assert check("MLE0416", files) == []


def test_without_a_service_nobody_misses_it(check):
    assert check("MLE0416", {"train.py": TRAIN}) == []


def test_a_service_that_trains_by_itself_needs_no_file(check):
    served = SERVE.replace("return str", "from sklearn.svm import SVC\n    SVC().fit(X, y)\n    return str")
    assert check("MLE0416", {"app.py": served}) == []


def test_other_libraries_save_in_their_own_way(check):
    files = {
        "app.py": "import streamlit as st\nfrom surprise.dump import load\nst.write(load('svd.sav')[1].predict(1))\n",
        "train.py": "from surprise import SVD\nm = SVD()\nm.fit(train)\n{}",
    }
    assert len(check("MLE0416", {**files, "train.py": files["train.py"].format("")})) == 1
    saved = {**files, "train.py": files["train.py"].format("from surprise.dump import dump\ndump('svd.sav', algo=m)\n")}
    assert check("MLE0416", saved) == []
