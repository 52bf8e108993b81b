import pytest

APP = """
import joblib, json, logging, csv
from flask import Flask, request
app = Flask(__name__)
model = joblib.load("m")
logger = logging.getLogger(__name__)

@app.route("/p")
def p():
    x = float(request.args["x"])
    try:
        y = model.predict([[x]])[0]
    except ValueError as error:
        logger.info("failed %s", error)
        raise
    {line}
    return str(y)
"""


@pytest.mark.parametrize(
    "line",
    [
        "pass",
        "logger.info('predicted')",
        "print(x, y)",
        "logger.warning('no x: %s', request.args)",
        "logger.info(request.args)",
    ],
)
def test_no_record_of_the_prediction(check, place, line):
    (finding,) = check("MLE0702", {"app.py": APP.format(line=line)})
    assert place(finding) == ("app.py", 9)


@pytest.mark.parametrize(
    "line",
    [
        "logger.info(json.dumps({'x': x, 'y': float(y)}))",
        "logger.info('predicted %s', y)",
        "csv.writer(out).writerow([x, y])",
        "log_prediction(x, y)",
    ],
)
def test_a_record_with_values(check, line):
    assert check("MLE0702", {"app.py": APP.format(line=line)}) == []


BENTO = """
import bentoml
runner = bentoml.sklearn.get("iris:latest").to_runner()
svc = bentoml.Service("iris", runners=[runner])
@svc.api(input=bentoml.io.NumpyNdarray(), output=bentoml.io.NumpyNdarray())
def classify(rows):
    result = runner.run(rows)
    return result
"""


def test_a_model_server_keeps_no_record_by_itself_unless_its_protocol_does(check, place):
    (finding,) = check("MLE0702", {"service.py": BENTO})
    assert place(finding) == ("service.py", 6)
    kserve = "import kserve\nclass M(kserve.Model):\n    def predict(self, p):\n        return self.model.predict(p)\n"
    assert check("MLE0702", {"service.py": kserve}) == []


def test_a_row_that_is_added_to_the_session_of_a_database_is_a_record(check):
    assert check("MLE0702", {"app.py": APP.format(line="db.add(Prediction(features=x, answer=y))")}) == []
    assert len(check("MLE0702", {"app.py": APP.format(line="seen.add(y)")})) == 1


def test_a_row_saved_by_django_is_a_record(check):
    models = "from django.db import models\nclass Asked(models.Model):\n    x = models.FloatField()\n"
    views = """
        import joblib
        from django.http import JsonResponse
        from .models import Asked
        model = joblib.load("m")
        def ask(request):
            y = model.predict([[request.GET["x"]]])[0]
            row = Asked(x=y)
            SAVE
            return JsonResponse({"y": y})
        """
    urls = "from django.urls import path\nfrom .views import ask\nurlpatterns = [path('ask', ask)]\n"
    files = {"web/models.py": models, "web/urls.py": urls, "web/__init__.py": ""}
    assert check("MLE0702", {**files, "web/views.py": views.replace("SAVE", "row.save()")}) == []
    assert len(check("MLE0702", {**files, "web/views.py": views.replace("SAVE", "row.clean()")})) == 1


def test_what_a_cloudera_model_tracks_is_a_record(check):
    code = (
        "import cdsw, joblib\nm = joblib.load('m')\n@cdsw.model_metrics\ndef f(args):\n    y = m.predict(args['x'])\n"
    )
    assert len(check("MLE0702", {"serve.py": code + "    return y\n"})) == 1
    assert check("MLE0702", {"serve.py": code + "    cdsw.track_metric('y', y)\n    return y\n"}) == []


def test_a_helper_that_logs_inputs_and_outputs(check):
    code = "import joblib\nfrom monitor import NAME\nm = joblib.load(1)\n"
    code += "def lambda_handler(event, context):\n    y = m.predict(event[0])\n"
    helper = "import requests\ndef NAME(x):\n    requests.post('http://127.0.0.1:2772', json=x)\n"
    for name, found in (("log_outputs_for", 0), ("ask_others", 1)):
        files = {"app.py": code.replace("NAME", name) + f"    {name}(y)\n    return y\n", "monitor.py": helper}
        files["monitor.py"] = helper.replace("NAME", name)
        assert len(check("MLE0702", files)) == found


@pytest.mark.parametrize(
    ("line", "found"), [("log.info('in %s', x)", 1), ("x = model.predict([x])\n    log.info(x)", 0)]
)
def test_what_was_asked_alone_is_no_record(check, line, found):
    text = (
        "import joblib, logging\nfrom fastapi import FastAPI\nlog = logging.getLogger()\napp = FastAPI()\n"
        f"model = joblib.load('m')\n@app.post('/p')\ndef p(x: float):\n    {line}\n    return model.predict([x])\n"
    )
    assert len(check("MLE0702", {"app.py": text})) == found


def test_a_constructor_tells_of_the_load_only(check):
    text = (
        "import joblib, logging\nfrom flask import Flask, request\nlog = logging.getLogger()\napp = Flask(__name__)\n"
        "class Model:\n    def __init__(self):\n        self.m = joblib.load('m')\n        log.info('%s', self.m)\n"
        "    def run(self, x):\n        return self.m.predict(x)\n"
        "@app.route('/p')\ndef p():\n    return str(Model().run(request.args['x']))\n"
    )
    assert len(check("MLE0702", {"app.py": text})) == 1
