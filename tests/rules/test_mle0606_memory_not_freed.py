LOOP = """
from tensorflow import keras
from tensorflow.keras import backend as K

def build(n):
    model = keras.Sequential([keras.layers.Dense(n)])
    return model

for n in (1, 2, 3):
    {free}
    model = build(n)
    model.fit(X, y)
"""


def test_a_model_for_each_round(check, place):
    (finding,) = check("MLE0606", {"search.py": LOOP.format(free="pass")})
    assert place(finding) == ("search.py", 11)


def test_cleared_or_built_once(check):
    assert check("MLE0606", {"search.py": LOOP.format(free="K.clear_session()")}) == []
    once = "from tensorflow import keras\nmodel = keras.Sequential()\nfor e in range(3):\n    model.fit(X, y)\n"
    assert check("MLE0606", {"search.py": once}) == []
