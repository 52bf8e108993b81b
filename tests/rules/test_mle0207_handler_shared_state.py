import pytest

HEAD = (
    "from flask import Flask, request, send_file\nimport threading\nimport pandas as pd\n"
    "app = Flask(__name__)\nlast = None\nmodel = None\n"
)


def app(body):
    return HEAD + "@app.route('/p')\ndef p():\n" + "".join(f"    {line}\n" for line in body.splitlines())


def test_a_fixed_file_that_is_written_and_sent(check, place):
    body = "df = pd.DataFrame(request.json)\ndf.to_csv('out.csv')\nreturn send_file('out.csv')"
    (finding,) = check("MLE0207", {"app.py": app(body)})
    assert finding.severity.value == "high"
    assert place(finding) == ("app.py", 10)


def test_an_upload_that_is_saved_under_one_name_and_read_again(check):
    body = "request.files['f'].save('uploads/in.csv')\nreturn str(pd.read_csv('uploads/in.csv'))"
    (finding,) = check("MLE0207", {"app.py": app(body)})
    assert "in.csv" in finding.title


def test_a_global_that_is_set_from_the_request_and_read_again(check, place):
    body = "global last\nlast = request.json['x']\nreturn str(last)"
    (finding,) = check("MLE0207", {"app.py": app(body)})
    assert place(finding) == ("app.py", 10)
    assert "`last`" in finding.title


@pytest.mark.parametrize(
    "body",
    [
        "global model\nif model is None:\n    model = load()\nreturn str(model)",
        "global last\nlast = 0\nreturn str(last)",
        "x = request.json\nreturn str(x)",
        "return send_file('static/logo.png')",
        "global model\nuri = 'models:/m/1'\nmodel = load(uri)\nreturn str(model)",
        "old = pd.read_csv('log.csv')\nold.to_csv('log.csv')\nreturn 'ok'",
        "df = pd.DataFrame(request.json)\ndf.to_csv(request.json['name'])\nreturn 'ok'",
        "global last\nwith lock:\n    last = request.json['x']\n    return str(last)",
    ],
)
def test_lazy_loading_locals_fixed_assets_and_locks_are_silent(check, body):
    assert check("MLE0207", {"app.py": app(body)}) == []


def test_a_fixed_file_that_a_helper_writes_and_the_model_reads(check, place):
    files = {
        "app.py": """\
            from flask import Flask, request
            from store import keep
            from PIL import Image
            app = Flask(__name__)
            class Client:
                def __init__(self):
                    self.name = "input.jpg"
            @app.route("/p", methods=["POST"])
            def p():
                keep(request.json["image"], client.name)
                return str(Image.open(client.name).size)
            if __name__ == "__main__":
                client = Client()
                app.run()
            """,
        "store.py": "def keep(data, path):\n    with open(path, 'wb') as f:\n        f.write(data)\n",
    }
    (finding,) = check("MLE0207", files)
    assert place(finding) == ("app.py", 10)
    assert [e.path for e in finding.evidence] == ["app.py", "store.py", "app.py"]


def test_a_file_that_is_named_anew_for_each_request(check):
    body = "name = str(uuid4()) + '.csv'\nrequest.files['f'].save(name)\nreturn str(pd.read_csv(name))"
    assert check("MLE0207", {"app.py": app(body)}) == []


AIOHTTP = """
from aiohttp import web
routes = web.RouteTableDef()

@routes.post("/fit")
async def fit(request):
    request.app["model"] = {value}
    return web.Response()

@routes.post("/predict")
async def predict(request):
    return web.json_response(request.app["{read}"].predict(await request.json()))
"""


def test_the_state_of_the_application_is_shared_too(check, place):
    (finding,) = check("MLE0207", {"app.py": AIOHTTP.format(value="train(request['rows'])", read="model")})
    assert place(finding) == ("app.py", 7) and finding.evidence[1].line_start == 12
    assert check("MLE0207", {"app.py": AIOHTTP.format(value="train(request['rows'])", read="other")}) == []
    assert check("MLE0207", {"app.py": AIOHTTP.format(value="load('m')", read="model")}) == []


def test_a_route_that_exchanges_the_model_keeps_no_request(check):
    text = """
        import joblib
        from fastapi import FastAPI
        app = FastAPI()
        model = None
        @app.put("/ROUTE/{path}")
        def exchange(path: str):
            global model
            model = read_it(path)
        @app.post("/predict")
        def predict(x: float):
            return model.predict([[x]])
        """
    assert check("MLE0207", {"app.py": text.replace("ROUTE", "update_model")}) == []
    assert len(check("MLE0207", {"app.py": text.replace("ROUTE", "choose")})) == 1


def test_a_page_that_keeps_every_upload_under_one_name(check, place):
    code = (
        "import streamlit as st\nfrom tools import load\nupload = st.file_uploader('a')\nif upload:\n"
        "    with open({name}, 'wb') as f:\n        f.write(upload.read())\n    st.write(load({name}))\n"
    )
    (finding,) = check("MLE0207", {"app.py": code.format(name="'temp.pdf'")})
    assert place(finding) == ("app.py", 5)
    assert check("MLE0207", {"app.py": code.format(name="upload.name")}) == []


def test_a_talk_that_all_callers_share(check, place):
    text = """
        from flask import Flask, render_template, request
        from chat import answer
        app = Flask(__name__)
        messages = []
        @app.post("/")
        def say():
            text = request.form["text"]
            messages.append({"who": "you", "said": text})
            return render_template("page.html", messages=reversed(messages))
        """
    (finding,) = check("MLE0207", {"app.py": text})
    assert place(finding) == ("app.py", 9) and finding.severity.value == "high"
    own = text.replace("    text = request", "    messages = []\n            text = request")
    assert check("MLE0207", {"app.py": own}) == []
    assert check("MLE0207", {"app.py": text.replace("messages=reversed(messages)", "text=answer(text)")}) == []


def test_a_route_that_puts_another_model_in_place(check):
    text = """
        from fastapi import FastAPI
        from scoring import Service
        app = FastAPI()
        PREFIX = "/v1"
        SERVICE = None
        @app.METHOD(f"{PREFIX}/model/{{name}}")
        def change(name: str):
            global SERVICE
            SERVICE = Service(name)
        @app.post("/predict")
        def predict(x: float):
            return SERVICE.answer(x)
        """
    assert check("MLE0207", {"app.py": text.replace("METHOD", "put")}) == []
    assert len(check("MLE0207", {"app.py": text.replace("METHOD", "post")})) == 1
