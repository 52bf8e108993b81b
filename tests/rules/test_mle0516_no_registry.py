ROUTE = """
from flask import Flask
app = Flask(__name__)
@app.route("/p")
def p():
    return str(model.predict([[1]]))
"""


def test_a_bare_name_from_another_module(check, place):
    files = {
        "app.py": "import joblib, config\nmodel = joblib.load(config.PATH)\n" + ROUTE,
        "config.py": "PATH = 'models/churn.pkl'\n",
    }
    (finding,) = check("MLE0516/registry", files)
    assert place(finding) == ("app.py", 2)


def test_versions_registries_configuration_and_dvc_are_fine(check):
    lines = [
        "import joblib\nmodel = joblib.load('models/churn-v3.pkl')\n",
        "import mlflow\nmodel = mlflow.sklearn.load_model('models:/churn@prod')\n",
        "import joblib, os\nmodel = joblib.load(os.environ['MODEL'])\n",
        "import joblib\nmodel = joblib.load('/opt/ml/model/model.joblib')\n",  # where SageMaker puts it
    ]
    for line in lines:
        assert check("MLE0516/registry", {"app.py": line + ROUTE}) == []
    tracked = {"app.py": "import joblib\nmodel = joblib.load('models/churn.pkl')\n" + ROUTE}
    assert (
        check("MLE0516/registry", {**tracked, "models/churn.pkl.dvc": "outs:\n- md5: abc\n  path: churn.pkl\n"}) == []
    )


def test_a_load_outside_of_the_service_is_no_subject(check):
    files = {"app.py": "model = None\n" + ROUTE, "tool.py": "import joblib\nm = joblib.load('m.pkl')\n"}
    assert check("MLE0516/registry", files) == []


def test_of_a_wrapper_around_the_loader_the_caller_is_reported(check, place):
    files = {
        "app.py": "from store import read\nmodel = read('churn.pkl')\n" + ROUTE,
        "store.py": "import pickle\ndef read(path):\n    return pickle.load(open(path, 'rb'))\n",
    }
    (finding,) = check("MLE0516/registry", files)
    assert place(finding) == ("app.py", 2)
