import pytest

APP = """\
from flask import Flask
app = Flask(__name__)
@app.route("/")
def home():
    return "x"
if __name__ == "__main__":
    app.run(host="0.0.0.0")
"""
DOCKER = 'FROM python:3.11\nWORKDIR /app\nCOPY . .\nCMD ["python", "app.py"]\n'


def test_the_image_starts_it(check, place):
    (finding,) = check("MLE0505", {"app.py": APP, "Dockerfile": DOCKER, "requirements.txt": "gunicorn\n"})
    assert place(finding) == ("app.py", 7)
    assert [e.path for e in finding.evidence] == ["app.py", "Dockerfile"]


def test_it_is_the_only_way_to_start(check, place):
    (finding,) = check("MLE0505", {"app.py": APP})
    assert place(finding) == ("app.py", 7)


def test_flask_run_in_an_image(check, place):
    docker = "FROM python:3.11\nENV FLASK_APP=app.py\nCOPY . .\nCMD flask run --host 0.0.0.0\n"
    (finding,) = check(
        "MLE0505", {"app.py": APP.replace('if __name__ == "__main__":\n    app.run', "print"), "Dockerfile": docker}
    )
    assert place(finding) == ("Dockerfile", 4)


@pytest.mark.parametrize(
    "extra",
    [
        {"Dockerfile": DOCKER.replace('"python", "app.py"', '"gunicorn", "app:app"')},
        {"Procfile": "web: gunicorn app:app\n"},
        {"requirements.txt": "flask\nwaitress\n"},
        {"start.sh": "exec gunicorn app:app\n"},
    ],
)
def test_a_real_server_is_there(check, extra):
    assert check("MLE0505", {"app.py": APP, **extra}) == []


@pytest.mark.parametrize("code", ["from absl import app\napp.run(main)\n", "import tk\nroot = tk.App()\nroot.run()\n"])
def test_other_things_that_run(check, code):
    assert check("MLE0505", {"app.py": code, "Dockerfile": DOCKER}) == []


def test_an_app_made_by_a_factory(check, place):
    code = "from flask import Flask\ndef make():\n    return Flask('x')\nif __name__ == '__main__':\n    make().run()\n"
    (finding,) = check("MLE0505", {"app.py": code})
    assert place(finding) == ("app.py", 5)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (".ebextensions/python.config", "option_settings:\n  x:\n    WSGIPath: app:app\n"),
        ("app.yaml", "runtime: python312\n"),
        (
            ".github/workflows/d.yml",
            "on: push\njobs:\n  d:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: azure/webapps-deploy@v2\n",
        ),
    ],
)
def test_a_platform_with_a_server_of_its_own(check, path, text):
    assert check("MLE0505", {"app.py": APP, path: text}) == []


def test_a_demonstration_beside_the_service_is_left_out(check, place):
    (finding,) = check("MLE0505", {"hello.py": APP, "serve.py": "import sklearn\n" + APP})
    assert place(finding) == ("serve.py", 8)


def test_dash_starts_flasks_server(check, place):
    code = "import dash\napp = dash.Dash(__name__)\nif __name__ == '__main__':\n    app.run_server(port=8050)\n"
    (finding,) = check("MLE0505", {"app.py": code})
    assert place(finding) == ("app.py", 4)
    assert check("MLE0505", {"app.py": code, "Procfile": "web: gunicorn app:server\n"}) == []


def test_an_image_that_starts_a_notebook_or_prepares_data_starts_no_service(check, place):
    image = "FROM python:3.12\nCOPY . .\nCMD jupyter-notebook --ip=*\n"
    files = {"app.py": APP, "Dockerfile": image}
    (finding,) = check("MLE0505", files)
    assert place(finding)[0] == "app.py"
    files |= {"Dockerfile": image.replace("jupyter-notebook --ip=*", "python /srv/data.py"), "data.py": "x = 1\n"}
    assert len(check("MLE0505", files)) == 1
