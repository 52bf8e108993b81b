import pytest

FLASK = """
import joblib
from flask import Flask, request
app = Flask(__name__)
model = joblib.load("m.joblib")
@app.route("/predict", methods=["POST"])
def predict():
    return str(model.predict(request.get_json()))
"""
FASTAPI = """
import joblib
from fastapi import FastAPI
from pydantic import BaseModel, Field
app = FastAPI()
model = joblib.load("m.joblib")
class Text(BaseModel):
    words: {field}
@app.post("/p")
def p(text: Text):
    return model.predict([text.words])
"""


def test_a_flask_body_without_a_limit(check, place):
    (finding,) = check("MLE0508", {"app.py": FLASK})
    assert place(finding) == ("app.py", 8)


def test_a_limit_of_the_application_or_of_the_proxy_is_enough(check):
    assert check("MLE0508", {"app.py": FLASK + 'app.config["MAX_CONTENT_LENGTH"] = 1_000_000\n'}) == []


def test_a_limit_of_the_proxy_is_enough(check):
    assert check("MLE0508", {"app.py": FLASK, "deploy/nginx.conf": "server { client_max_body_size 2m; }\n"}) == []


def test_free_text_in_a_schema_needs_a_length(check, place):
    (finding,) = check("MLE0508", {"app.py": FASTAPI.format(field="str")})
    assert place(finding) == ("app.py", 8)


def test_numbers_and_bounded_text_are_bounded(check):
    assert check("MLE0508", {"app.py": FASTAPI.format(field="str = Field(max_length=500)")}) == []
    assert check("MLE0508", {"app.py": FASTAPI.format(field="float")}) == []


def test_an_upload_is_reported_where_it_is_read_into_memory(check, place):
    text = """
        from fastapi import FastAPI, UploadFile
        import joblib
        app = FastAPI()
        model = joblib.load("m")
        @app.post("/p")
        async def p(file: UploadFile):
            return model.predict(await file.read())
        """
    (finding,) = check("MLE0508", {"app.py": text})
    assert place(finding) == ("app.py", 8)


def test_lists_of_rows_and_of_fields_inside_a_schema(check, place):
    head = (
        "import joblib\nfrom typing import List\nfrom fastapi import FastAPI\nfrom pydantic import BaseModel, Field\n"
        "app = FastAPI()\nmodel = joblib.load('m')\nclass Row(BaseModel):\n    x: float\n"
        "class Batch(BaseModel):\n    row: Row\n    inner: 'Row'\n"
    )
    route = "@app.post('/p')\ndef p(body: TYPE):\n    return model.predict(body)\n"
    (finding,) = check("MLE0508", {"app.py": head + route.replace("TYPE", "List[Row]")})
    assert place(finding) == ("app.py", 13)
    assert check("MLE0508", {"app.py": head + route.replace("TYPE", "Batch")}) == []
    deep = head.replace("x: float", "x: List[float]")
    (finding,) = check("MLE0508", {"app.py": deep + route.replace("TYPE", "Batch")})
    assert place(finding) == ("app.py", 8)
    assert check("MLE0508", {"app.py": head + route.replace("TYPE", "List[Row]").replace("post", "get")}) == []


def test_a_service_of_bentoml_takes_any_size(check, place):
    text = "import bentoml\n@bentoml.service\nclass S:\n"
    text += "    def __init__(self):\n        self.m = bentoml.load_model('m')\n"
    text += "    @bentoml.api\n    def ask(self, rows: list[float]) -> str:\n        return self.m.predict(rows)\n"
    (finding,) = check("MLE0508", {"service.py": text})
    assert place(finding) == ("service.py", 7)
    assert (
        check("MLE0508", {"service.py": text.replace("rows: list[float]", "x: float").replace("(rows)", "(x)")}) == []
    )


def test_the_size_of_a_log_file_limits_no_request(check):
    text = (
        "import joblib\nfrom fastapi import FastAPI\nfrom logging.handlers import RotatingFileHandler as R\n"
        "h = R('a', maxBytes=5)\napp = FastAPI()\nm = joblib.load('m')\n@app.post('/p')\n"
        "def p(rows: list[float]):\n    return m.predict(rows)\n"
    )
    assert len(check("MLE0508", {"app.py": text})) == 1


def test_a_parser_reads_the_body(check, place):
    text = (
        "import joblib\nfrom flask import Flask\nfrom flask_restful import Api, Resource, reqparse\n"
        "model = joblib.load('m')\napp = Flask(__name__)\napi = Api(app)\nparser = reqparse.RequestParser()\n"
        "class Predict(Resource):\n    def post(self):\n        args = parser.parse_args()\n"
        "        return model.predict([args['x']])\napi.add_resource(Predict, '/p')\n"
    )
    (finding,) = check("MLE0508", {"app.py": text})
    assert place(finding) == ("app.py", 10)


@pytest.mark.parametrize(("line", "found"), [("len(rows) > 0", 1), ("frame.size > 1", 1), ("len(rows) > 100", 0)])
def test_more_than_none_is_no_limit(check, line, found):
    text = (
        "import joblib\nfrom fastapi import FastAPI, UploadFile\nmodel = joblib.load('m')\napp = FastAPI()\n"
        f"@app.post('/p')\ndef p(file: UploadFile):\n    rows = read(file)\n    if {line}:\n        raise ValueError\n"
        "    return model.predict(rows)\n"
    )
    assert len(check("MLE0508", {"app.py": text})) == found
