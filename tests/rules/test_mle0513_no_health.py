APP = """
import joblib
from fastapi import FastAPI
app = FastAPI()
model = joblib.load("m")

@app.get("/predict")
def predict(x: float):
    return model.predict([[x]])
"""


def test_the_application_needs_a_health_route(check, place):
    (finding,) = check("MLE0513", {"app.py": APP})
    assert place(finding) == ("app.py", 4)


def test_a_health_route_on_a_router_elsewhere_counts(check):
    health = "from fastapi import APIRouter\nrouter = APIRouter()\n@router.get('/healthz')\ndef ok():\n    return {}\n"
    assert check("MLE0513", {"app.py": APP, "health.py": health}) == []


def test_a_function_of_that_name_without_registration_does_not(check):
    assert len(check("MLE0513", {"app.py": APP + "def health():\n    return 'ok'\n"})) == 1


def test_platform_servers_bring_their_own(check):
    text = """
        import litserve, joblib
        class Api(litserve.LitAPI):
            def setup(self, device):
                self.model = joblib.load("m")
            def predict(self, x):
                return self.model.predict(x)
        """
    assert check("MLE0513", {"server.py": text}) == []


def test_a_web_application_without_a_model_is_no_subject(check):
    text = "from flask import Flask\napp = Flask(__name__)\n@app.route('/')\ndef index():\n    return 'hello'\n"
    assert check("MLE0513", {"app.py": text}) == []


def test_a_status_route_is_one_too(check):
    assert check("MLE0513", {"app.py": APP + "@app.get('/status')\ndef s():\n    return {}\n"}) == []


def test_a_fixed_status_at_the_root_is_one(check):
    root = "@app.get('/')\ndef index():\n    return {'Status': 'alive'}\n"
    assert check("MLE0513", {"app.py": APP + root}) == []
    assert len(check("MLE0513", {"app.py": APP + root.replace("Status", "title").replace("alive", "My API")})) == 1


def test_a_django_project_is_asked_for_one(check, place):
    files = {
        "web/wsgi.py": "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
        "web/urls.py": "from django.urls import path\nfrom web.views import ask\nurlpatterns = [path('ask', ask)]\n",
        "web/views.py": "import joblib\nmodel = joblib.load('m')\ndef ask(request):\n    return model.predict([[1]])\n",
    }
    (finding,) = check("MLE0513", files)
    assert place(finding) == ("web/wsgi.py", 2)


def test_a_root_that_says_it_is_alive_is_a_health_route(check):
    code = (
        "import flask, joblib\nm = joblib.load('m')\napp = flask.Flask('a')\n@app.route('/')\ndef root():\n"
        "    return \"I'm alive!\"\n@app.route('/p')\ndef p():\n    return str(m.predict(flask.request.json))\n"
    )
    assert check("MLE0513", {"app.py": code}) == []
    assert len(check("MLE0513", {"app.py": code.replace("I'm alive!", "Welcome!")})) == 1
