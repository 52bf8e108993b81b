"""What a handler reads, runs and calls, followed through helpers, classes and modules."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from ml_engineer.assessment import serving, taint, values
from ml_engineer.assessment.repo import Repo


@pytest.fixture
def repo(tmp_path: Path):
    def make(files: dict[str, str]) -> Repo:
        for path, content in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(textwrap.dedent(content))
        return Repo.open(tmp_path)

    return make


FLASK = """
    from flask import Flask, request
    from scoring import score

    def make_app():
        return Flask(__name__)

    app = make_app()

    @app.route("/predict", methods=["POST"])
    def predict():
        return str(score(request.get_json()))
"""
SCORING = """
    import joblib

    class Scorer:
        def __init__(self):
            self.model = joblib.load("m.joblib")

        def run(self, rows):
            return self.model.predict(rows)

    def get_scorer():
        return Scorer()

    scorer = get_scorer()

    def score(data):
        return scorer.run(data)
"""


def test_a_model_call_is_found_through_a_factory_a_helper_module_and_a_kept_attribute(repo):
    (handler,) = serving.handlers(repo({"app.py": FLASK, "scoring.py": SCORING}))
    assert handler.framework == "flask"
    assert [(c.name, c.module.path, c.node.lineno) for c in handler.model_calls] == [
        ("joblib.load().predict", "scoring.py", 9)
    ]
    assert [(r.kind, r.node.lineno) for r in handler.reads] == [("get_json", 12)]
    assert "scoring.Scorer.__init__" not in [f.dotted for f in handler.functions]


def test_origin_follows_returned_tuples_and_stops_at_recursion(repo):
    opened = repo({
        "a.py": """
            import torch
            def load():
                model = torch.load("m.pt")
                return model, 3
            def loop():
                return loop()
            m, n = load()
            """,
    })  # fmt: skip
    assert values.origin(opened, "a.load()[0].forward") == "torch.load().forward"
    assert values.origin(opened, "a.loop()") == "a.loop()"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("sys.argv[1]", {"argv"}),
        ("os.environ['M']", {"env"}),
        ("os.path.join('models', request.args['name'])", {"request"}),
        ("f'{os.getenv(\"M\")}.pkl'", {"env"}),
        ("'fixed.pkl'", set()),
        ("len(sys.argv)", set()),
    ],
)
def test_origins_of_an_expression(repo, expression, expected):
    opened = repo({"a.py": f"import os, sys\nfrom flask import request\nx = {expression}\n"})
    module = opened.modules[0]
    assert taint.taint(opened, module, module.tree.body[-1].value) == expected


def test_origins_go_through_parameters_to_the_callers(repo):
    opened = repo({
        "io_.py": "import pickle\ndef read(path):\n    return pickle.load(open(path, 'rb'))\n",
        "main.py": "import argparse\nfrom io_ import read\np = argparse.ArgumentParser()\n"
        "args = p.parse_args()\nread(args.model)\n",
    })  # fmt: skip
    (call,) = opened.calls("pickle.load")
    assert taint.taint(opened, call.module, call.node.args[0]) == {"argv"}


def test_a_service_class_of_ray_is_a_platform_whatever_framework_it_routes_with(repo):
    opened = repo({
        "serve.py": """
            from fastapi import FastAPI, Request
            from ray import serve
            import joblib
            app = FastAPI()
            @serve.deployment
            @serve.ingress(app)
            class Model:
                def __init__(self):
                    self.model = joblib.load("m")
                @app.post("/predict")
                async def predict(self, request: Request):
                    return self.model.predict(await request.json())
            """,
    })  # fmt: skip
    assert {h.framework for h in serving.model_handlers(opened)} == {"ray"}
    assert not serving.serves_model(opened)


def test_what_click_fills_in_comes_from_the_command_line(repo):
    text = """
        import click
        @click.command()
        def main(path):
            open(path)
        def other(path):
            open(path)
        """
    opened = repo({"cli.py": text})
    first, second = [c for c in opened.modules[0].calls if c.name == "open"]
    assert taint.taint(opened, first.module, first.node.args[0]) == {"argv"}
    assert taint.taint(opened, second.module, second.node.args[0]) == set()


def test_calling_a_model_does_not_make_it_again(repo):
    opened = repo({
        "app.py": """
            from flask import Flask, request
            from net import Net
            app = Flask(__name__)
            MODEL = None
            @app.route("/p")
            def p():
                return str(MODEL(request.args["x"]))
            if __name__ == "__main__":
                MODEL = Net()
            """,
        "net.py": """
            import torch
            class Net(torch.nn.Module):
                def __init__(self):
                    super().__init__()
                    self.bert = load()
                def forward(self, x):
                    return self.bert(x)
            """,
    })  # fmt: skip
    (handler,) = serving.handlers(opened)
    assert [f.qualname for f in handler.functions] == ["p", "Net.forward"]


def test_a_setting_of_another_module_or_class_is_a_constant(repo):
    opened = repo({
        "config.py": "class Config:\n    device = 'cuda'\nBERT = 'bert-base-uncased'\n",
        "a.py": "import config\nfrom config import Config, BERT\n"
        "x = config.BERT\ny = Config.device\nz = BERT\nw = other.x\n",
    })  # fmt: skip
    module = opened.by_path["a.py"]
    found = [values.constant(opened, module, node.value) for node in module.tree.body[2:]]
    assert found[:3] == ["bert-base-uncased", "cuda", "bert-base-uncased"]
    assert not isinstance(found[3], str)


def test_what_start_up_keeps_on_the_application_is_found_in_the_handler(repo):
    opened = repo({
        "main.py": """
            from fastapi import FastAPI
            from service import Service
            app = FastAPI()
            def start(app):
                app.state.model = Service()
            """,
        "routes.py": """
            from fastapi import APIRouter, Request
            router = APIRouter()
            @router.post("/p")
            def p(request: Request, x: float):
                return request.app.state.model.run(x)
            """,
        "service.py": "class Service:\n    def run(self, x):\n        return self.net.predict(x)\n",
    })  # fmt: skip
    (handler,) = serving.handlers(opened)
    assert [f.dotted for f in handler.functions] == ["routes.p", "service.Service.run"]


def test_a_resource_class_that_a_namespace_registers_is_a_route(repo):
    opened = repo({
        "api.py": """
            from flask import request
            from flask_restx import Api, Resource
            api = Api()
            ns = api.namespace("models")
            @ns.route("/predict")
            class Predict(Resource):
                def post(self):
                    return model.predict(request.json)
            class Forgotten(Resource):
                def post(self):
                    return {}
            """,
    })  # fmt: skip
    (route,) = opened.routes
    assert (route.path, route.methods, route.handler.qualname) == ("/predict", ("POST",), "Predict.post")


def test_handing_over_a_model_does_not_run_the_function_that_made_it(repo):
    opened = repo({
        "app.py": """
            from fastapi import FastAPI, File
            from net import load, segment
            app = FastAPI()
            model = load()
            @app.post("/p")
            def p(file: bytes = File(...)):
                return segment(model, file)
            """,
        "net.py": """
            import torch
            def load():
                return torch.hub.load("a/b:v1", "net")
            def segment(model, data):
                return model(data)
            """,
    })  # fmt: skip
    (handler,) = serving.handlers(opened)
    assert [f.qualname for f in handler.functions] == ["p", "segment"]
    assert handler.reads == []
    assert [c.node.lineno for c in handler.model_calls] == [6]


def test_a_librarys_examples_and_documents_serve_nobody(repo):
    app = """
        from flask import Flask, request
        app = Flask(__name__)
        @app.route("/p")
        def p():
            return str(model.predict(request.json))
        """
    library = "[project]\nname = 'lib'\nclassifiers = ['Development Status :: 4 - Beta']\n"
    files = {"examples/app.py": app, "docs/app.py": app}
    assert [h.module.path for h in serving.handlers(repo(files))] == ["examples/app.py"]
    opened = repo({"pyproject.toml": library, "lib/__init__.py": "", **files})
    assert opened.dependencies.is_library
    assert serving.handlers(opened) == [] and serving.apps(opened) == []


def test_what_makes_the_application_serves_too_where_the_routes_stand_elsewhere(repo):
    routes = """
        import joblib
        from fastapi import APIRouter
        router = APIRouter()
        model = joblib.load("m.joblib")

        @router.post("/predict")
        def predict(rows: list[float]):
            return float(model.predict([rows])[0])
    """
    main = """
        from fastapi import FastAPI
        import routes, telemetry
        app = FastAPI()
        app.include_router(routes.router)
        telemetry.start(app)
    """
    files = {"routes.py": routes, "main.py": main, "telemetry.py": "def start(app): pass\n", "other.py": "x = 1\n"}
    assert [m.path for m in serving.serving_modules(repo(files))] == ["main.py", "routes.py", "telemetry.py"]


def test_the_runner_of_bentoml_makes_the_model_answer(repo):
    opened = repo({
        "service.py": """
            import bentoml
            from runners import get_runner
            runner = bentoml.pytorch.get("mnist:latest").to_runner()
            clip = get_runner()
            svc = bentoml.Service(name="s", runners=[runner, clip])

            @svc.api(input=bentoml.io.Image(), output=bentoml.io.JSON())
            async def predict(image):
                return await runner.async_run(image)

            @svc.api(input=bentoml.io.Text(), output=bentoml.io.JSON())
            async def encode(text):
                return await clip.encode_text.async_run([text])
            """,
        "runners.py": """
            import bentoml
            def get_runner():
                runner = bentoml.Runner(object, name="clip")
                return runner
            """,
    })  # fmt: skip
    assert [h.function.node.name for h in serving.answering_handlers(opened)] == ["predict", "encode"]
    assert serving.web_handlers(opened) == []
    site = serving.service_site(opened)
    assert site is not None and (site.path, site.line) == ("service.py", 8)


def test_the_resources_of_a_model_asset_exchange_application(repo):
    opened = repo({
        "app.py": """
            from maxfw.core import MAXApp
            from api import Predict
            app = MAXApp("title", "text", "1")
            app.add_api(Predict, "/predict")
            app.run()
            """,
        "api.py": """
            import joblib
            from maxfw.core import PredictAPI
            model = joblib.load("m.joblib")
            class Predict(PredictAPI):
                def post(self):
                    return model.predict([[1]])
            """,
    })  # fmt: skip
    (handler,) = serving.web_handlers(opened)
    assert (handler.framework, handler.routes[0].path) == ("flask", "/predict")
    site = serving.service_site(opened)
    assert site is not None and (site.path, site.line) == ("app.py", 4)


def test_a_grpc_service_and_a_model_that_is_kept_on_the_application(repo):
    opened = repo({
        "service.py": """
            import grpc, joblib
            from concurrent import futures
            import model_pb2_grpc

            class Scorer(model_pb2_grpc.ScorerServicer):
                def __init__(self):
                    self.model = joblib.load("m.joblib")

                def Score(self, request, context):
                    return self.model.predict([list(request.values)])

            server = grpc.server(futures.ThreadPoolExecutor())
            """,
        "web.py": """
            from flask import Flask, request

            def create_app(model):
                app = Flask(__name__)
                app.model = model

                @app.route("/classify", methods=["POST"])
                def classify():
                    return str(app.model.classify_image(request.files["image"]))

                return app
            """,
    })  # fmt: skip
    found = {handler.framework: handler.function.node.name for handler in serving.web_handlers(opened)}
    assert found == {"grpc": "Score", "flask": "classify"}
    assert {app.framework for app in serving.apps(opened)} == {"grpc", "flask"}


def test_a_page_that_asks_a_model_elsewhere(repo):
    page = """
        import os, requests
        from flask import Flask, request
        app = Flask(__name__)

        @app.route("/", methods=["POST"])
        def index():
            return requests.post({address}, json=dict(request.form)).text
        """
    api = """
        from flask import Flask
        api = Flask(__name__)

        @api.route("/predict", methods=["POST"])
        def answer():
            return "1"
        """
    addresses = {"remote": 'os.environ["MODEL_URL"]', "own": '"http://api:5000/predict"', "other": 'os.environ["HOOK"]'}
    files = {f"{name}.py": page.format(address=address) for name, address in addresses.items()}
    found = serving.model_handlers(repo({**files, "api.py": api}))
    assert [handler.module.path for handler in found] == ["remote.py"]


def test_a_service_that_another_is_compared_with_is_aside(tmp_path: Path) -> None:
    app = "import joblib\nfrom flask import Flask\napp = Flask(__name__)\nm = joblib.load('m')\n"
    app += "@app.route('/p')\ndef p():\n    return str(m.predict([[1]]))\n"
    (tmp_path / "benchmark").mkdir()
    (tmp_path / "benchmark/other.py").write_text(app)
    assert [h.module.path for h in serving.model_handlers(Repo.open(tmp_path))] == ["benchmark/other.py"]
    (tmp_path / "app.py").write_text(app)
    assert [h.module.path for h in serving.model_handlers(Repo.open(tmp_path))] == ["app.py"]


def test_a_package_below_a_folder_with_a_hyphen_and_an_object_that_is_handed_on(repo):
    found = repo(
        {
            "api-service/app/__init__.py": "",
            "api-service/app/logic/__init__.py": "from .spam import Controller",
            "api-service/app/logic/spam.py": """
                import joblib

                class SpamClassifier:
                    def classify(self, row):
                        return joblib.load("m").predict(row)

                class Controller:
                    @staticmethod
                    def answer(classifier, row):
                        return classifier.classify(row)
            """,
            "api-service/app/routes.py": """
                from fastapi import APIRouter
                from .logic import Controller
                router = APIRouter()

                @router.post("/p")
                def p(row: dict):
                    return Controller.answer(None, row)
            """,
        }
    )
    (handler,) = serving.model_handlers(found)
    assert [f.qualname for f in handler.functions] == ["p", "Controller.answer", "SpamClassifier.classify"]
