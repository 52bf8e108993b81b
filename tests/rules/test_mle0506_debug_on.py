APP = "from flask import Flask\napp = Flask(__name__)\n@app.route('/')\ndef index():\n    return ''\n"
MAIN = "if __name__ == '__main__':\n    app.run(host='0.0.0.0', debug=True)\n"


def test_flask_with_its_debugger(check, place):
    (finding,) = check("MLE0506", {"app.py": APP + MAIN})
    assert (finding.severity.value, place(finding)) == ("high", ("app.py", 7))


def test_a_production_server_beside_it_lowers_it(check):
    files = {"app.py": APP + MAIN, "Dockerfile": 'FROM python:3.12\nCMD ["gunicorn", "app:app"]\n'}
    (finding,) = check("MLE0506", files)
    assert finding.severity.value == "medium"


def test_an_application_from_a_factory(check, place):
    files = {
        "core.py": "from flask import Flask\ndef make():\n    app = Flask(__name__)\n    return app\n",
        "run.py": "from core import make\napp = make()\napp.run(debug=True)\n",
    }
    (finding,) = check("MLE0506", files)
    assert place(finding) == ("run.py", 3)


def test_uvicorn_reload_is_high_only_where_the_image_runs_the_script(check):
    text = "import uvicorn\nfrom fastapi import FastAPI\napp = FastAPI()\nuvicorn.run('main:app', reload=True)\n"
    (finding,) = check("MLE0506", {"main.py": text})
    assert finding.severity.value == "medium"
    (finding,) = check("MLE0506", {"Dockerfile": 'FROM python:3.12\nCMD ["python", "main.py"]\n'})
    assert finding.severity.value == "high"


def test_debug_in_the_image(check, place):
    files = {"app.py": APP, "Dockerfile": "FROM python:3.12\n# FLASK_DEBUG=1 is for development\nENV FLASK_DEBUG=1\n"}
    (finding,) = check("MLE0506", files)
    assert place(finding) == ("Dockerfile", 3)


def test_a_switch_from_the_environment_other_objects_and_tests_are_silent(check):
    files = {
        "app.py": APP + "import os\napp.run(debug=os.environ.get('DEBUG') == '1')\n",
        "job.py": "from runner import Job\nJob().run(debug=True)\n",
        "tests/test_app.py": APP + MAIN,
    }
    assert check("MLE0506", files) == []


def test_a_start_command_that_reloads(check, place):
    app = "from fastapi import FastAPI\napp = FastAPI()\n"
    image = 'FROM python:3.12\nCMD ["uvicorn", "main:app", "--reload"]\n'
    (finding,) = check("MLE0506", {"main.py": app, "Dockerfile": image})
    assert (finding.severity.value, place(finding)) == ("high", ("Dockerfile", 2))


def test_a_setting_holds_under_a_production_server_too(check, place):
    files = {
        "site/settings.py": "DEBUG = True\nINSTALLED_APPS = ['django.contrib.auth']\n",
        "site/urls.py": "from django.urls import path\n",
        "Dockerfile": 'FROM python:3.12\nCMD ["gunicorn", "site.wsgi"]\n',
    }
    (finding,) = check("MLE0506", files)
    assert (finding.severity.value, place(finding)) == ("high", ("site/settings.py", 1))


def test_a_configuration_that_is_updated(check, place):
    code = "from flask import Flask\napp = Flask(__name__)\napp.config.update(dict(DEBUG={}, KEY=1))\napp.run()\n"
    (finding,) = check("MLE0506", {"app.py": code.format(True)})
    assert (place(finding), finding.severity.value) == (("app.py", 3), "high")
    assert check("MLE0506", {"app.py": code.format(False)}) == []


def test_a_debugger_that_only_the_machine_itself_reaches(check):
    text = "from flask import Flask\napp = Flask('a')\napp.run(debug=True, host='{}')\n"
    (finding,) = check("MLE0506", {"app.py": text.format("127.0.0.1")})
    assert finding.severity.value == "medium"
    (finding,) = check("MLE0506", {"app.py": text.format("0.0.0.0")})
    assert finding.severity.value == "high"
