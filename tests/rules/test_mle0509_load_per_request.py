import pytest

APP = """
import joblib
from functools import lru_cache
from flask import Flask, request
app = Flask(__name__)
_model = None
"""
ROUTE = """
@app.route("/predict")
def predict():
    return str(get_model().predict([request.args["x"]]))
"""


def test_a_load_in_a_helper_module_that_the_handler_calls(check, place):
    files = {
        "app.py": APP + "from store import get_model\n" + ROUTE,
        "store.py": "import joblib\ndef get_model():\n    return joblib.load('m.joblib')\n",
    }
    (finding,) = check("MLE0509", files)
    assert (finding.severity.value, place(finding)) == ("high", ("store.py", 3))


def test_a_predictor_class_that_is_made_for_each_request(check, place):
    text = APP + (
        "class Predictor:\n    def __init__(self):\n        self.model = joblib.load('m')\n"
        "    def run(self, x):\n        return self.model.predict(x)\n"
        "@app.route('/p')\ndef p():\n    return str(Predictor().run(request.args['x']))\n"
    )
    (finding,) = check("MLE0509", {"app.py": text})
    assert place(finding) == ("app.py", 9)


@pytest.mark.parametrize(
    "getter",
    [
        "@lru_cache\ndef get_model():\n    return joblib.load('m')\n",
        (
            "def get_model():\n    global _model\n    if _model is None:\n"
            "        _model = joblib.load('m')\n    return _model\n"
        ),
        (
            "def get_model():\n    global _model\n    if _model is not None:\n        return _model\n"
            "    _model = joblib.load('m')\n    return _model\n"
        ),
        "MODEL = joblib.load('m')\ndef get_model():\n    return MODEL\n",
        (
            "class Holder:\n    def __init__(self):\n        self.model = joblib.load('m')\n"
            "    def get(self):\n        return self.model\nholder = Holder()\n"
            "def get_model():\n    return holder.get()\n"
        ),
    ],
)
def test_what_is_loaded_once_is_silent(check, getter):
    assert check("MLE0509", {"app.py": APP + getter + ROUTE}) == []


def test_a_route_that_only_reloads_is_silent(check):
    text = (
        APP
        + "@app.route('/reload')\ndef reload():\n    global _model\n    _model = joblib.load('m')\n    return 'ok'\n"
    )
    assert check("MLE0509", {"app.py": text}) == []


def test_of_a_wrapper_around_the_loader_the_caller_is_reported(check, place):
    files = {
        "app.py": APP + "from store import read\ndef get_model():\n    return read('m.pkl')\n" + ROUTE,
        "store.py": "import pickle\ndef read(path):\n    with open(path, 'rb') as f:\n        return pickle.load(f)\n",
    }
    (finding,) = check("MLE0509", files)
    assert place(finding) == ("app.py", 9)
    assert [(e.path, e.line_start) for e in finding.evidence] == [("app.py", 9), ("store.py", 4), ("app.py", 12)]


STREAMLIT = """
import joblib
import streamlit as st

{cache}
def load():
    return joblib.load("m.joblib")

model = load()
x = st.number_input("x")
st.write(model.predict([[x]]))
"""


def test_streamlit_runs_the_script_again_for_every_interaction(check, place):
    (finding,) = check("MLE0509", {"app.py": STREAMLIT.format(cache="")})
    assert place(finding) == ("app.py", 7)
    assert check("MLE0509", {"app.py": STREAMLIT.format(cache="@st.cache_resource")}) == []


def test_a_load_in_the_body_of_a_streamlit_script(check, place):
    text = "import joblib\nimport streamlit as st\nmodel = joblib.load('m')\nst.write(model.predict([[1]]))\n"
    (finding,) = check("MLE0509", {"app.py": text})
    assert place(finding) == ("app.py", 3)


def test_gradio_keeps_what_the_script_loads_but_not_what_its_function_loads(check, place):
    text = "import gradio as gr\nimport joblib\n{top}\ndef answer(x):\n    {inner}\n    return model.predict([[x]])\n"
    text += "gr.Interface(fn=answer, inputs='number', outputs='number').launch()\n"
    load = "model = joblib.load('m')"
    assert check("MLE0509", {"app.py": text.format(top=load, inner="x = float(x)")}) == []
    (finding,) = check("MLE0509", {"app.py": text.format(top="", inner=load)})
    assert place(finding) == ("app.py", 5)


def test_what_gradio_keeps_in_its_state_is_loaded_once_for_a_session(check):
    code = """\
        import pickle
        import gradio as gr
        def load(key):
            with open("model.pkl", "rb") as file:
                return pickle.load(file)
        with gr.Blocks() as block:
            key = gr.Textbox()
            kept = gr.State()
            shown = gr.Textbox()
            key.change(load, inputs=[key], outputs=[{out}])
        block.launch()
        """
    assert check("MLE0509", {"app.py": code.format(out="kept")}) == []
    assert len(check("MLE0509", {"app.py": code.format(out="shown")})) == 1


@pytest.mark.parametrize(("test", "found"), [("cls.model == None", 0), ("cls.model != 3", 1)])
def test_a_model_that_a_class_keeps_by_comparing_with_none(check, test, found):
    code = f"""
        import pickle
        from flask import Flask, request
        app = Flask(__name__)
        class Service:
            model = None
            @classmethod
            def get_model(cls):
                if {test}:
                    cls.model = pickle.load(open("m.pkl", "rb"))
                return cls.model
        @app.route("/p", methods=["POST"])
        def p():
            return str(Service.get_model().predict([[float(request.form["x"])]]))
        """
    assert len(check("MLE0509", {"app.py": code})) == found


def test_a_load_behind_something_kept_in_a_table(check, place):
    app = """
        import mlflow
        from fastapi import FastAPI
        from store import Store
        app = FastAPI()
        kept = {}
        kept["store"] = Store()
        @app.post("/p")
        def p(row: list[float]):
            return kept["store"].get_model().predict([row])
        """
    store = "import mlflow\nclass Store:\n    def get_model(self):\n"
    store += "        return mlflow.pyfunc.load_model('models:/m/1')\n"
    (finding,) = check("MLE0509", {"app.py": app, "store.py": store})
    assert place(finding) == ("store.py", 4)


def test_a_route_that_loads_and_asks_nothing_exchanges_the_model(check):
    text = """
        from fastapi import FastAPI
        from tensorflow.keras.models import load_model
        app = FastAPI()
        def tf_load_model(path):
            return load_model(path)
        @app.put("/update/{path}")
        def update(path: str):
            global model
            model = tf_load_model(path)
            ASK
        """
    assert check("MLE0509", {"app.py": text.replace("ASK", "return 'done'")}) == []
    assert len(check("MLE0509", {"app.py": text.replace("ASK", "return model.predict([1])")})) == 1


def test_two_things_kept_together_are_asked_for_together(check):
    text = """
        import joblib
        from fastapi import FastAPI
        app = FastAPI()
        net = None
        words = None
        def both():
            global net, words
            if net is not None and words is not None:
                return net, words
            net, words = joblib.load("n"), joblib.load("w")
            return net, words
        @app.get("/p")
        def p(x: float):
            model, vectorizer = both()
            return model.predict(vectorizer.transform([x]))
        """
    assert check("MLE0509", {"app.py": text}) == []
    assert len(check("MLE0509", {"app.py": text.replace("net is not None and words is not None", "debug")})) == 1


def test_a_load_that_stops_where_that_model_is_there_already(check):
    code = (
        "import gradio as gr\nimport transformers\nclass Answers:\n    def load(self, name):\n{guard}"
        "        self.model = transformers.AutoModel.from_pretrained(name)\n        self.name = name\n"
        "answers = Answers()\ndef choose(name):\n    answers.load(name)\n"
        "gr.Interface(fn=choose, inputs='text', outputs='text').launch()\n"
    )
    assert len(check("MLE0509", {"app.py": code.format(guard="")})) == 1
    guard = "        if name == self.name:\n            return\n"
    assert check("MLE0509", {"app.py": code.format(guard=guard)}) == []


@pytest.mark.parametrize(
    ("once", "head", "found"),
    [
        (
            "class Only(type):\n    def __call__(cls):\n        if cls.one is None:\n            cls.one = 1\n",
            "class Model(metaclass=Only):",
            0,
        ),
        ("from tools import singleton\n", "@singleton\nclass Model:", 0),
        ("class Only(type):\n    pass\n", "class Model(metaclass=Only):", 1),
    ],
)
def test_a_singleton_is_loaded_once(check, once, head, found):
    text = (
        f"{APP}{once}{head}\n    def __init__(self):\n        self.model = joblib.load('m')\n"
        "    def run(self, x):\n        return self.model.predict(x)\n"
        "@app.route('/p')\ndef p():\n    return str(Model().run(request.args['x']))\n"
    )
    assert len(check("MLE0509", {"app.py": text})) == found
