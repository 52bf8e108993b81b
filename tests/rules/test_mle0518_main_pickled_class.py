TRAIN = """
import joblib
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

class Selector:
    def fit(self, X, y=None):
        return self
    def transform(self, X):
        return X

pipe = Pipeline([("select", Selector()), ("model", LogisticRegression())])
pipe.fit(X, y)
joblib.dump({dumped}, "model.joblib")
"""
SERVE = "import joblib\nmodel = joblib.load('model.joblib')\n"


def test_a_class_of_the_script_inside_the_dumped_pipeline(check, place):
    (finding,) = check("MLE0518", {"train.py": TRAIN.format(dumped="pipe"), "serve.py": SERVE})
    assert (finding.severity.value, place(finding)) == ("high", ("train.py", 14))
    assert "Selector" in finding.title


def test_nobody_else_loads_it(check):
    (finding,) = check("MLE0518", {"train.py": TRAIN.format(dumped="pipe")})
    assert finding.severity.value == "medium"


def test_an_importable_class_and_a_computed_value_are_fine(check):
    moved = TRAIN.replace("class Selector:", "from parts import Selector\nclass Other:").format(dumped="pipe")
    parts = "class Selector:\n    def transform(self, X):\n        return X\n"
    assert check("MLE0518", {"train.py": moved, "parts.py": parts, "serve.py": SERVE}) == []
    assert check("MLE0518", {"train.py": TRAIN.format(dumped="pipe.predict(X)"), "serve.py": SERVE}) == []


def test_a_script_that_the_server_imports_has_a_name_of_its_own(check):
    files = {"train.py": TRAIN.format(dumped="pipe"), "serve.py": "from train import Selector\n" + SERVE}
    assert check("MLE0518", files) == []


def test_what_an_object_holds_and_a_models_parameters_are_none_of_its_class(check):
    text = (
        "import torch\nfrom torch import nn\nclass Mean:\n    pass\nclass Net(nn.Module):\n    pass\n"
        "mean = Mean()\nmodel = Net()\nloss = model(x).sum()\nloss.backward()\n"
        "kept = {k: v.to('cpu') for k, v in model.named_parameters()}\n"
        "torch.save({'kept': kept, 'mean': mean.value}, 'm.pt')\n"
    )
    assert check("MLE0518", {"train.py": text}) == []


def test_rows_that_a_function_of_the_script_has_made_hold_no_function(check):
    code = "import joblib, pandas as pd\ndef clean(text):\n    return text.lower()\n"
    code += "df = pd.read_csv('a.csv')\njoblib.dump({'X': df['text'].apply(clean)}, 'rows.joblib')\n"
    assert check("MLE0518", {"train.py": code, "serve.py": "import joblib\njoblib.load('rows.joblib')\n"}) == []


def test_a_booster_keeps_no_function_that_its_training_was_given(check):
    code = "import joblib, xgboost as xgb\ndef rmspe(a, b):\n    return 'rmspe', 0\n"
    code += "reg = xgb.train({}, d, 10, feval=rmspe)\njoblib.dump(reg, 'x.pkl')\n"
    assert check("MLE0518", {"train.py": code, "serve.py": "import joblib\njoblib.load('x.pkl')\n"}) == []
