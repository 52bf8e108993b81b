import pytest

FLASK = "import pickle\nfrom flask import Flask, request\napp = Flask(__name__)\n@app.route('/p')\n"


def test_a_pickle_that_is_loaded_is_reported_at_its_line(check, place):
    (finding,) = check("MLE0502", {"app.py": "import pickle as p\nmodel = p.load(open('m.pkl', 'rb'))\n"})
    assert place(finding) == ("app.py", 2)
    assert finding.severity.value == "medium"


def test_json_is_no_danger(check):
    assert check("MLE0502", {"app.py": "import json\nmodel = json.load(open('m.json'))\n"}) == []


def test_a_path_named_by_the_request_is_critical_through_a_wrapper_in_another_module(check, place):
    wrapper = "import joblib\ndef read(path):\n    return joblib.load(path)\n"
    app = FLASK + "def p():\n    return str(read('models/' + request.args['m']))\n"
    (finding,) = check(
        "MLE0502", {"store.py": wrapper, "app.py": app.replace("import pickle", "from store import read")}
    )
    assert finding.severity.value == "critical"
    assert place(finding) == ("store.py", 3)


def test_a_downloaded_pickle_is_critical(check):
    text = "import pickle, requests\nm = pickle.loads(requests.get('https://x.org/m.pkl').content)\n"
    (finding,) = check("MLE0502", {"a.py": text})
    assert finding.severity.value == "critical"


def test_the_operators_own_command_line_is_high_in_the_service_and_medium_in_a_script(check):
    load = "import pickle, sys\nm = pickle.load(open(sys.argv[1], 'rb'))\n"
    route = "from flask import Flask\napp = Flask(__name__)\n@app.route('/')\ndef index():\n    return m\n"
    (finding,) = check("MLE0502", {"a.py": load})
    assert finding.severity.value == "medium"
    (finding,) = check("MLE0502", {"a.py": load + route})
    assert finding.severity.value == "high"
    (finding,) = check("MLE0502", {"a.py": load + "print(m.predict(rows))\n"})
    assert finding.severity.value == "high"


def test_what_a_registry_looks_up_is_no_path_of_the_operator(check):
    text = "import joblib, sys\nfrom azureml.core import Model\npath = Model.get_model_path(sys.argv[1])\n"
    (finding,) = check("MLE0502", {"a.py": text + "print(joblib.load(path).predict(rows))\n"})
    assert finding.severity.value == "medium"


def test_a_checked_hash_lowers_it(check):
    text = """
        import hashlib, pickle
        def load(path, digest):
            data = open(path, "rb").read()
            if hashlib.sha256(data).hexdigest() != digest:
                raise ValueError(path)
            return pickle.loads(data)
        """
    (finding,) = check("MLE0502", {"a.py": text})
    assert finding.severity.value == "low"


@pytest.mark.parametrize(
    "line",
    [
        "np.load('a.npy')",
        "np.load('a.npy', allow_pickle=False)",
        "yaml.load(f, Loader=yaml.SafeLoader)",
        "yaml.safe_load(f)",
        "pickle.loads(pickle.dumps(x))",
    ],
)
def test_safe_ways_to_load_are_silent(check, line):
    assert check("MLE0502", {"a.py": f"import pickle, yaml\nimport numpy as np\nv = {line}\n"}) == []


@pytest.mark.parametrize(
    "line",
    ["np.load('a.npy', allow_pickle=True)", "yaml.load(f)", "yaml.load(f, Loader=yaml.Loader)", "dill.load(f)",
     "pd.read_pickle('a.pkl')"],
)  # fmt: skip
def test_other_loaders_that_run_code(check, line):
    text = f"import yaml, dill\nimport numpy as np\nimport pandas as pd\nv = {line}\n"
    (finding,) = check("MLE0502", {"a.py": text})
    assert finding.severity.value == "medium"


def test_tests_are_no_subject(check):
    assert check("MLE0502", {"tests/test_a.py": "import pickle\nm = pickle.load(open('m.pkl', 'rb'))\n"}) == []


def test_an_address_among_the_settings_is_no_download(check):
    text = """
        import pickle
        from mlflow.tracking import MlflowClient
        client = MlflowClient(tracking_uri="http://127.0.0.1:5000")
        path = client.download_artifacts("run", "model.bin")
        model = pickle.load(open(path, "rb"))
        """
    (finding,) = check("MLE0502", {"a.py": text})
    assert finding.severity.value == "medium"


def test_a_file_in_a_folder_of_the_operator_is_medium(check):
    text = "import os, pickle, sys\nm = pickle.load(open(os.path.join(sys.argv[1], 'train.pkl'), 'rb'))\n"
    (finding,) = check("MLE0502", {"a.py": text + "print(m.predict(rows))\n"})
    assert finding.severity.value == "medium"


@pytest.mark.parametrize("load", ["surprise.dump.load", "statsmodels.api.load"])
def test_other_libraries_pickle_too(check, load):
    code = f"import {load.rpartition('.')[0]}\ndef answer(path):\n    return {load}(path)\n"
    assert len(check("MLE0502", {"serve.py": code})) == 1


def test_a_program_that_judges_the_model_is_the_developers_own(check):
    code = "import joblib, sys\nfrom sklearn.metrics import f1_score\nm = joblib.load(sys.argv[1])\n"
    (finding,) = check("MLE0502", {"judge.py": code + "print(f1_score(y, m.predict(x)))\n"})
    assert finding.severity.value == "medium"
    (finding,) = check("MLE0502", {"judge.py": code.replace("from sklearn", "#") + "print(m.predict(x))\n"})
    assert finding.severity.value == "high"


def test_a_file_of_a_fixed_folder_that_the_request_names(check):
    text = (
        "import os, joblib\nfrom fastapi import FastAPI\napp = FastAPI()\nBASE = 'models'\n@app.put('/model/{name}')\n"
        "def change(name: str):\n    f = os.path.join(BASE, name, name + '.pkl')\n    return str(joblib.load(f))\n"
    )
    (finding,) = check("MLE0502", {"app.py": text})
    assert finding.severity.value == "medium"
    (finding,) = check("MLE0502", {"app.py": text.replace("os.path.join(BASE, name, name + '.pkl')", "name")})
    assert finding.severity.value == "critical"
