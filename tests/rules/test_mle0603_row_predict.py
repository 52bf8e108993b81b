import pytest

HEAD = "import joblib\nimport numpy as np\nmodel = joblib.load('m')\n"


@pytest.mark.parametrize(
    "loop",
    [
        "for i, row in df.iterrows():\n    y = model.predict([row])\n",
        "for x in X:\n    out.append(model.predict(x.reshape(1, -1)))\n",
        "out = [model.predict(np.expand_dims(x, 0)) for x in X]\n",
        "for i in range(len(X)):\n    row = X[i]\n    out.append(model.predict_proba(row))\n",
    ],
)
def test_one_row_at_a_time(check, loop):
    (finding,) = check("MLE0603", {"a.py": HEAD + loop})
    assert finding.severity.value == "medium"


@pytest.mark.parametrize(
    "loop",
    [
        "for batch in loader:\n    out.append(model.predict(batch))\n",
        "for train, test in folds:\n    model.fit(X[train])\n    model.predict(X[test])\n",
        "for episode in range(10):\n    action = model.predict(state.reshape(1, -1))\n    state = env.step(action)\n",
        "for state in episode:\n    env.step(model.predict(state.reshape(1, -1)))\n",
        "for step in range(40):\n    seed = np.append(seed, model.predict(seed.reshape(1, -1)))\n",
        "for name, m in models.items():\n    print(name, m.predict(X))\n",
        "y = model.predict(X)\n",
    ],
)
def test_batches_folds_environments_and_sequences_are_fine(check, loop):
    assert check("MLE0603", {"a.py": HEAD + loop}) == []


SERVICE = """
import joblib
from fastapi import FastAPI
app = FastAPI()
class Predictor:
    def __init__(self):
        self.model = joblib.load("m")
    def predict(self, row):
        return self.model.predict({given})
    def predict_batch(self, rows):
        return [self.predict(row) for row in rows]
predictor = Predictor()
@app.post("/batch")
def batch(rows: list):
    return predictor.predict_batch(rows)
"""


def test_a_request_that_hands_its_rows_on_one_by_one(check, place):
    (finding,) = check("MLE0603", {"app.py": SERVICE.format(given="row")})
    assert place(finding) == ("app.py", 11)
    assert check("MLE0603", {"app.py": SERVICE.format(given="row").replace("self.model.predict", "clean")}) == []
