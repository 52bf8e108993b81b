import pytest

APP = """
import logging
from flask import Flask, request
app = Flask(__name__)
logger = logging.getLogger(__name__)

@app.route("/p", methods=["POST"])
def p():
    data = request.get_json()
    {line}
    return "ok"
"""


def severities(check, line):
    return [(f.severity.value, f.evidence[0].line_start) for f in check("MLE0705", {"app.py": APP.format(line=line)})]


def test_a_print_in_a_handler(check):
    assert severities(check, "print('predicting')") == [("low", 10)]


def test_the_whole_request_in_the_log(check):
    assert severities(check, "logger.info('got %s', data)") == [("medium", 10)]
    assert severities(check, "print(request.get_json())") == [("medium", 10)]
    assert severities(check, "logger.info(f'from {data[\"email\"]}')") == [("medium", 10)]


def test_debug_level_single_fields_and_lengths_are_fine(check):
    for line in ("logger.debug(data)", "logger.info('age %s', data['age'])", "logger.info('%d rows', len(data))"):
        assert severities(check, line) == []


def test_a_schema_as_a_whole(check):
    text = """
        import logging
        from fastapi import FastAPI
        from pydantic import BaseModel
        app = FastAPI()
        class Person(BaseModel):
            age: int
        @app.post("/p")
        def p(person: Person):
            logging.info("%s", person)
            return person.age
        """
    (finding,) = check("MLE0705", {"app.py": text})
    assert (finding.severity.value, finding.evidence[0].line_start) == ("medium", 10)


def test_scripts_may_print(check):
    assert check("MLE0705", {"app.py": APP.format(line="pass"), "train.py": "print('epoch', 1)\n"}) == []


@pytest.mark.parametrize(("read", "found"), [('event["JobName"]', 0), ('event["body"]', 1)])
def test_one_field_of_an_event_is_not_all_of_it(check, read, found):
    code = f"""
        import json, logging
        def lambda_handler(event, context):
            given = {read}
            logging.info("for %s", given)
        """
    assert len([f for f in check("MLE0705", {"api.py": code}) if f.severity.value == "medium"]) == found
