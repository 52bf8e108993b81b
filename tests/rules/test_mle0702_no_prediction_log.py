import pytest

APP = """
import joblib, json, logging, csv
from flask import Flask, request
app = Flask(__name__)
model = joblib.load("m")
logger = logging.getLogger(__name__)

@app.route("/p")
def p():
    x = float(request.args["x"])
    try:
        y = model.predict([[x]])[0]
    except ValueError as error:
        logger.info("failed %s", error)
        raise
    {line}
    return str(y)
"""


@pytest.mark.parametrize(
    "line", ["pass", "logger.info('predicted')", "print(x, y)", "logger.warning('no x: %s', request.args)"]
)
def test_no_record_of_the_prediction(check, place, line):
    (finding,) = check("MLE0702", {"app.py": APP.format(line=line)})
    assert place(finding) == ("app.py", 9)


@pytest.mark.parametrize(
    "line",
    [
        "logger.info(json.dumps({'x': x, 'y': float(y)}))",
        "logger.info('predicted %s', y)",
        "csv.writer(out).writerow([x, y])",
        "log_prediction(x, y)",
    ],
)
def test_a_record_with_values(check, line):
    assert check("MLE0702", {"app.py": APP.format(line=line)}) == []
