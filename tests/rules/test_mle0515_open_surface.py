import pytest

APP = """
import joblib
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
app = FastAPI()
model = joblib.load("m")

@app.get("/predict")
def predict(x: float):
    return model.predict([[x]])
"""
CORS = "app.add_middleware(CORSMiddleware, allow_origins=['*'], allow_credentials={})\n"
COMPOSE = 'services:\n  api:\n    build: .\n    ports:\n      - "8000:8000"\n'


def test_every_origin_with_credentials(check, place):
    (finding,) = check("MLE0515", {"app.py": APP + CORS.format(True)})
    assert place(finding) == ("app.py", 11)


def test_every_origin_without_credentials_is_fine(check):
    assert check("MLE0515", {"app.py": APP + CORS.format(False)}) == []


def test_a_published_port_without_authentication(check, place):
    (finding,) = check("MLE0515", {"app.py": APP, "docker-compose.yml": COMPOSE})
    assert place(finding) == ("app.py", 8)
    assert finding.evidence[1].path == "docker-compose.yml"


def test_not_published_or_only_on_the_loopback_is_silent(check):
    assert check("MLE0515", {"app.py": APP}) == []
    local = COMPOSE.replace("8000:8000", "127.0.0.1:8000:8000")
    assert check("MLE0515", {"docker-compose.yml": local}) == []


def test_a_cluster_ip_is_not_published_and_a_load_balancer_is(check):
    service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: api\nspec:\n  type: {}\n  ports:\n    - port: 80\n"
    assert check("MLE0515", {"app.py": APP, "k8s/api.yaml": service.format("ClusterIP")}) == []
    assert len(check("MLE0515", {"k8s/api.yaml": service.format("LoadBalancer")})) == 1
    database = service.format("NodePort").replace("name: api", "name: postgres-db")
    assert check("MLE0515", {"k8s/api.yaml": database}) == []


def test_an_api_key_in_the_code_or_authentication_at_the_gateway_is_enough(check):
    keyed = APP + "def key(request):\n    return request.headers['X-API-Key']\n"
    assert check("MLE0515", {"app.py": keyed, "docker-compose.yml": COMPOSE}) == []
    assert check("MLE0515", {"app.py": APP, "nginx.conf": "location / { auth_basic on; }\n"}) == []


def test_a_published_port_of_another_service_is_not_the_models(check):
    other = "services:\n  db:\n    image: postgres\n    ports:\n      - '5432:5432'\n"
    assert check("MLE0515", {"app.py": APP, "docker-compose.yml": other}) == []
    elsewhere = COMPOSE.replace("build: .", "build: ./web")
    assert check("MLE0515", {"api/app.py": APP, "docker-compose.yml": elsewhere, "app.py": ""}) == []


def test_an_api_gateway_without_authorizer(check, place):
    text = "import joblib\nmodel = joblib.load('m')\n"
    text += "def handler(event, context):\n    return model.predict([event['x']])\n"
    gateway = "functions:\n  predict:\n    handler: app.handler\n    events:\n      - httpApi: '*'\n"
    (finding,) = check("MLE0515", {"app.py": text, "serverless.yml": gateway})
    assert (place(finding), finding.evidence[1].line_start) == (("app.py", 3), 5)
    closed = gateway + "provider:\n  httpApi:\n    authorizers:\n      jwt: {}\n"
    assert check("MLE0515", {"app.py": text, "serverless.yml": closed}) == []


def test_a_page_that_compose_publishes(check, place):
    files = {
        "app.py": "import gradio as gr\ngr.Interface(f, 'text', 'text').queue().launch(server_name='0.0.0.0')\n",
        "docker-compose.yml": "services:\n  a:\n    build:\n      context: ./\n    ports:\n      - 7860:7860\n",
    }
    (finding,) = check("MLE0515", files)
    assert place(finding) == ("app.py", 2)
    files["app.py"] = files["app.py"].replace("launch(", "launch(auth=users, ")
    assert check("MLE0515", files) == []


PAGE = "import joblib\nimport streamlit as st\nm = joblib.load('m')\nst.write(m.predict([[st.number_input('x')]]))\n"


def test_a_streamlit_page_on_a_public_platform(check, place):
    files = {"web/app.py": PAGE, "web/app.yaml": "runtime: custom\n"}
    (finding,) = check("MLE0515", files)
    assert place(finding) == ("web/app.py", 2)
    closed = PAGE + "if not st.session_state.get('authenticated'):\n    st.stop()\n"
    assert check("MLE0515", {**files, "web/app.py": closed}) == []
    assert check("MLE0515", {"web/app.py": "import streamlit as st\nst.write('hello')\n"}) == []


def test_a_proxy_publishes_what_is_behind_it(check):
    app = "from flask import Flask, request\nimport joblib\napp = Flask(__name__)\nmodel = joblib.load('m')\n"
    app += "@app.route('/p')\ndef p():\n    return str(model.predict([[request.args['x']]]))\n"
    compose = "services:\n  web:\n    image: nginx:1\n    ports:\n      - 80:80\n  api:\n    build: ..\n"
    assert len(check("MLE0515", {"app.py": app, "deploy/docker-compose.yml": compose})) == 1
    assert check("MLE0515", {"deploy/docker-compose.yml": compose.replace("nginx:1", "redis:7")}) == []


def test_a_bare_model_server_that_compose_publishes(check, place):
    compose = "services:\n  s:\n    image: tensorflow/serving:2.16.1\n    ports:\n      - '8501:8501'\n"
    (finding,) = check("MLE0515", {"docker-compose.yml": compose})
    assert "TensorFlow Serving" in finding.title
    assert place(finding) == ("docker-compose.yml", 3)
    assert check("MLE0515", {"docker-compose.yml": compose.replace("8501:8501", "127.0.0.1:8501:8501")}) == []


LAMBDA = "import joblib\nm = joblib.load('m')\ndef lambda_handler(event, context):\n    return m.predict(event['x'])\n"


@pytest.mark.parametrize(
    ("app", "path", "text", "closed"),
    [
        (None, "cloudbuild.yaml", "args: ['run', 'deploy', 'a', '--allow-unauthenticated']\n", "'--no-ingress']\n"),
        (
            LAMBDA,
            "a.yaml",
            "M:\n  Type: AWS::ApiGateway::Method\n  AuthorizationType: NONE\n",
            "AuthorizationType: AWS_IAM",
        ),
        (
            LAMBDA,
            "stack.py",
            "from aws_cdk import aws_apigateway as g\ng.LambdaRestApi(self, 'a', handler=f)\n",
            "pass",
        ),
    ],
)
def test_what_a_cloud_publishes_without_asking_who_calls(check, app, path, text, closed):
    flask = (
        "import flask, joblib\nm = joblib.load('m')\napp = flask.Flask('a')\n"
        "@app.route('/p')\ndef p():\n    return str(m.predict(flask.request.json))\n"
    )
    (finding,) = check("MLE0515", {"app.py": app or flask, path: text})
    assert finding.evidence[1].path == path
    assert check("MLE0515", {"app.py": app or flask, path: closed}) == []


@pytest.mark.parametrize(
    ("path", "text", "silent"),
    [
        ("web/package-lock.json", '{"integrity": "sha512-9JWt+x=="}\n', False),
        ("grafana/source.yml", "datasources:\n  - basicAuth: false\n", False),
        ("k8s/ingress.yaml", "traefik: basicAuth\n", True),
    ],
)
def test_hashes_and_what_is_switched_off_ask_nobody(check, path, text, silent):
    assert bool(check("MLE0515", {"app.py": APP, "docker-compose.yml": COMPOSE, path: text})) is not silent


def test_an_event_kept_for_a_trial_is_no_gateway(check):
    template = "F:\n  Type: AWS::Serverless::Function\n  Events:\n    A:\n      Type: Api\n"
    files = {"app.py": LAMBDA, "template.yml": template, "events/event.json": '{"cognitoIdentityPoolId": null}\n'}
    assert len(check("MLE0515", files)) == 1


def test_a_web_application_behind_a_gateway_and_an_anonymous_function(check):
    fast = (
        "import fastapi, joblib, mangum\nm = joblib.load('m')\napp = fastapi.FastAPI()\n"
        "@app.post('/p')\ndef p(x: float):\n    return m.predict([[x]])\nhandler = mangum.Mangum(app)\n"
    )
    template = "F:\n  Type: AWS::Serverless::Function\n  Events:\n    A:\n      Type: HttpApi\n"
    assert len(check("MLE0515", {"main.py": fast, "template.yml": template})) == 1
    azure = (
        "import joblib, azure.functions as func\nm = joblib.load('m')\n"
        "def main(req: func.HttpRequest):\n    return m.predict(req.get_json())\n"
    )
    files = {"main.py": "", "template.yml": "", "Score/__init__.py": azure}
    assert len(check("MLE0515", {**files, "Score/function.json": '{"authLevel": "anonymous"}\n'})) == 1
    assert check("MLE0515", {**files, "Score/function.json": '{"authLevel": "function"}\n'}) == []


@pytest.mark.parametrize("path", ["heroku.yml", "railway.toml"])
def test_an_image_that_a_public_platform_builds(check, path):
    assert check("MLE0515", {"app.py": APP}) == []
    (finding,) = check("MLE0515", {path: "build = 'Dockerfile'\n"})
    assert finding.evidence[1].path == path
