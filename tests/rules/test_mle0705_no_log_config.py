APP = """
import joblib
from flask import Flask, request
app = Flask(__name__)
model = joblib.load("m")
@app.route("/p")
def p():
    return str(model.predict([[request.args["x"]]]))
"""


def test_a_service_without_configuration(check, place):
    (finding,) = check("MLE0705/config", {"app.py": APP})
    assert (finding.severity.value, place(finding)) == ("low", ("app.py", 4))


def test_configured_in_code_or_by_the_start_command(check):
    assert check("MLE0705/config", {"app.py": "import logging\nlogging.basicConfig(level='INFO')\n" + APP}) == []
    started = {"app.py": APP, "Procfile": "web: gunicorn --log-config log.ini app:app\n"}
    assert check("MLE0705/config", started) == []
