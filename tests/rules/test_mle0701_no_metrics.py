APP = """
import joblib
from flask import Flask, request
app = Flask(__name__)
model = joblib.load("m")
@app.route("/p")
def p():
    return str(model.predict([[request.args["x"]]]))
"""


def test_a_service_without_metrics(check, place):
    (finding,) = check("MLE0701", {"app.py": APP})
    assert place(finding) == ("app.py", 4)


def test_a_library_in_the_service_a_launcher_or_a_route(check):
    measured = "from prometheus_flask_exporter import PrometheusMetrics\n" + APP
    assert check("MLE0701", {"app.py": measured + "PrometheusMetrics(app)\n"}) == []
    assert len(check("MLE0701", {"app.py": measured})) == 1
    launched = {
        "app.py": APP,
        "Dockerfile": 'FROM python:3.12\nCMD ["opentelemetry-instrument", "gunicorn", "app:app"]\n',
    }
    assert check("MLE0701", launched) == []


def test_a_metrics_route_of_its_own(check):
    assert check("MLE0701", {"app.py": APP + "@app.route('/metrics')\ndef metrics():\n    return ''\n"}) == []


def test_metrics_of_a_training_job_are_not_the_services(check):
    assert len(check("MLE0701", {"app.py": APP, "jobs/train.py": "import prometheus_client\n"})) == 1


def test_ray_brings_its_own(check):
    text = """
        from ray import serve
        import joblib
        @serve.deployment
        class Model:
            def __init__(self):
                self.model = joblib.load("m")
            async def __call__(self, request):
                return self.model.predict(await request.json())
        """
    assert check("MLE0701", {"serve.py": text}) == []


def test_a_container_for_sagemaker_is_measured_by_it(check):
    text = """
        import joblib
        from flask import Flask, request
        app = Flask(__name__)
        model = joblib.load("m")
        @app.route("/{health}")
        def health():
            return "ok"
        @app.route("/invocations", methods=["POST"])
        def answer():
            return str(model.predict(request.json))
        """
    assert check("MLE0701", {"app.py": text.format(health="ping")}) == []
    assert len(check("MLE0701", {"app.py": text.format(health="alive")})) == 1
