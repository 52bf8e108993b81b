TABLE = """
import numpy as np
import pandas as pd
import joblib
from sklearn.svm import SVC
from sklearn.preprocessing import StandardScaler
df = pd.read_csv("a.csv")
df["a"] = {feature}
y = {target}
scaler = StandardScaler()
X = {data}
model = SVC().fit(X, y)
joblib.dump(model, "models/m.pkl")
"""
SERVE = """
import joblib
import numpy as np
import pandas as pd
from flask import Flask, request
app = Flask(__name__)
model = joblib.load("models/m.pkl")
scaler = joblib.load("models/s.pkl")
@app.route("/p", methods=["POST"])
def p():
    df = pd.DataFrame(request.get_json())
    {step}
    return str(model.predict({data}))
"""


def files(feature="df['a']", target="df['y']", data="df[['a']]", step="pass", served="df[['a']]"):
    return {
        "train.py": TABLE.format(feature=feature, target=target, data=data),
        "app.py": SERVE.format(step=step, data=served),
    }


def test_a_logarithm_in_training_alone(check, place):
    (finding,) = check("MLE0202", files(feature="np.log1p(df['a'])"))
    assert (finding.severity.value, finding.confidence.value) == ("high", "medium")
    assert place(finding) == ("train.py", 8)
    assert any(e.path == "app.py" for e in finding.evidence)


def test_the_same_logarithm_on_both_sides_is_silent(check):
    assert check("MLE0202", files(feature="np.log1p(df['a'])", step="df['a'] = np.log1p(df['a'])")) == []


def test_a_logarithm_of_the_target_is_no_skew(check):
    text = files(feature="df['a']")
    text["train.py"] = text["train.py"].replace("y = df['y']", "df['y'] = np.log(df['y'])\ny = df['y']")
    assert check("MLE0202", text) == []


def test_a_scaler_that_inference_does_not_apply(check):
    (finding,) = check("MLE0202", files(data="scaler.fit_transform(df[['a']])"))
    assert "StandardScaler" in finding.title
    assert check("MLE0202", files(data="scaler.fit_transform(df[['a']])", served="scaler.transform(df[['a']])")) == []


def test_a_preparation_of_its_own_may_do_what_the_scaler_does(check):
    text = files(data="scaler.fit_transform(df[['a']])", served="preprocess_input_row(df)")
    text["app.py"] += "\ndef preprocess_input_row(df):\n    return (df - 1) / 2\n"
    assert check("MLE0202", text) == []


def test_another_artefact_is_not_compared(check):
    text = files(feature="np.log1p(df['a'])")
    text["app.py"] = text["app.py"].replace("m.pkl", "elsewhere.pkl")
    assert check("MLE0202", text) == []


PICTURES = """
import torch
from torch import nn
from torchvision import datasets, transforms
tf = transforms.Compose([transforms.Resize(64), transforms.ToTensor(){normalise}])
data = datasets.ImageFolder("data", transform=tf)
model = nn.Linear(3, 2)
for x, y in data:
    loss = model(x).sum()
    loss.backward()
torch.save(model, "net.pt")
"""
ANSWER = """
import torch
from fastapi import FastAPI, UploadFile
from torchvision import transforms
app = FastAPI()
model = torch.load("net.pt")
tf = transforms.Compose([transforms.Resize(64), transforms.ToTensor(){normalise}])
@app.post("/p")
def p(file: UploadFile):
    return model(tf(file.file)).argmax().item()
"""
NORMALISE = ", transforms.Normalize([0.5], [0.2])"


def test_pictures_that_only_training_normalises(check, place):
    (finding,) = check(
        "MLE0202", {"train.py": PICTURES.format(normalise=NORMALISE), "app.py": ANSWER.format(normalise="")}
    )
    assert place(finding) == ("train.py", 5)


def test_other_numbers_are_skew_and_equal_ones_are_not(check):
    train = PICTURES.format(normalise=NORMALISE)
    other = ANSWER.format(normalise=NORMALISE.replace("0.2", "0.3"))
    assert "other numbers" in check("MLE0202", {"train.py": train, "app.py": other})[0].title
    assert check("MLE0202", {"train.py": train, "app.py": ANSWER.format(normalise=NORMALISE)}) == []


SERVICE = """\
import joblib
import pandas as pd
from flask import Flask, request
from sklearn.preprocessing import StandardScaler
app = Flask(__name__)
def scale(payload):
    scaler = StandardScaler().fit({data})
    return scaler.transform(payload)
@app.route("/predict", methods=["POST"])
def predict():
    model = joblib.load("m.joblib")
    return str(model.predict(scale(pd.DataFrame(request.json))))
"""


def test_a_transformer_that_is_fitted_on_the_request(check, place):
    (finding,) = check("MLE0202", {"app.py": SERVICE.format(data="payload")})
    assert (place(finding), finding.severity.value) == (("app.py", 7), "high")


def test_a_transformer_that_is_fitted_on_the_training_data_again_is_another_fault(check):
    assert check("MLE0202", {"app.py": SERVICE.format(data="pd.read_csv('train.csv')")}) == []
    retrains = SERVICE.format(data="payload").replace("model.predict(", "model.fit(")
    assert check("MLE0202", {"app.py": retrains}) == []


def test_a_table_that_is_scaled_for_a_picture_reaches_no_model(check):
    shown = SERVICE.format(data="payload").replace("model.predict(", "model.shown(")
    assert check("MLE0202", {"app.py": shown}) == []


def test_a_transformer_that_learns_nothing_from_the_rows_may_be_fitted_on_the_request(check):
    code = SERVICE.format(data="payload").replace("StandardScaler", "PolynomialFeatures")
    assert check("MLE0202", {"app.py": code}) == []


def test_gaps_that_are_filled_from_the_request_itself(check, place):
    code = SERVICE.replace(
        "    scaler = StandardScaler().fit({data})\n    return scaler.transform(payload)\n", "{body}"
    )
    own = "    payload['a'] = payload['a'].fillna({data}['a'].median())\n    return payload\n"
    (finding,) = check("MLE0202", {"app.py": code.format(body=own.format(data="payload"))})
    assert (place(finding), finding.severity.value) == (("app.py", 7), "medium")
    assert check("MLE0202", {"app.py": code.format(body=own.format(data="TRAINED"))}) == []
