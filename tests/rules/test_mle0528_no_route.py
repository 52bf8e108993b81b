def test_a_resource_that_is_never_added(check, place):
    text = """
        from flask import Flask
        from flask_restful import Api, Resource
        app = Flask(__name__)
        api = Api(app)
        class Predict(Resource):
            def post(self):
                return {}
        app.run()
        """
    (finding,) = check("MLE0528", {"app.py": text})
    assert (finding.severity.value, place(finding)) == ("high", ("app.py", 4))


def test_registered_in_whatever_way_is_fine(check):
    ways = [
        "@app.route('/')\ndef index():\n    return ''\n",
        "from other import blueprint\napp.register_blueprint(blueprint)\n",
        "import dash\nd = dash.Dash(server=app)\n",
        "from routes import setup\nsetup(app)\n",
    ]
    for way in ways:
        assert check("MLE0528", {"app.py": f"from flask import Flask\napp = Flask(__name__)\n{way}"}) == []


def test_routes_in_another_module_count(check):
    files = {
        "core.py": "from fastapi import FastAPI\napp = FastAPI()\n",
        "routes.py": "from core import app\n@app.get('/p')\ndef p():\n    return {}\n",
    }
    assert check("MLE0528", files) == []


def test_an_application_that_a_factory_returns_is_unknown(check):
    text = "from flask import Flask\ndef make():\n    return Flask(__name__)\n"
    assert check("MLE0528", {"app.py": text}) == []
