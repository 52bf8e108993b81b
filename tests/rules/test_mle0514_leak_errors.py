import pytest

HEAD = """
import logging, traceback, uuid
from flask import Flask, jsonify, abort, request
app = Flask(__name__)

@app.route("/p", methods=["POST"])
def p():
    try:
        return jsonify(work(request.get_json()))
"""


@pytest.mark.parametrize(
    "tail",
    [
        "    except Exception as e:\n        return jsonify({'error': str(e)}), 500\n",
        "    except Exception as e:\n        return f'failed: {e}', 500\n",
        "    except:\n        return traceback.format_exc(), 500\n",
        "    except Exception as error:\n        message = repr(error)\n        return jsonify(error=message)\n",
    ],
)
def test_an_answer_made_of_the_exception(check, place, tail):
    (finding,) = check("MLE0514", {"app.py": HEAD + tail})
    path, line = place(finding)
    assert path == "app.py" and "return" in (HEAD + tail).splitlines()[line - 1]


@pytest.mark.parametrize(
    "tail",
    [
        "    except Exception as e:\n        logging.exception('failed: %s', e)\n        return 'error', 500\n",
        "    except ValueError as e:\n        return jsonify(error=str(e)), 422\n",
        "    except Exception as e:\n        return jsonify(kind=type(e).__name__), 500\n",
    ],
)
def test_logged_only_or_the_clients_own_fault(check, tail):
    assert check("MLE0514", {"app.py": HEAD + tail}) == []


def test_fastapi_detail_and_catch_all_handlers(check, place):
    text = """
        from fastapi import FastAPI, HTTPException
        from fastapi.responses import JSONResponse
        app = FastAPI()
        @app.exception_handler(Exception)
        def failed(request, exc):
            return JSONResponse({"detail": str(exc)}, status_code=500)
        @app.get("/p")
        def p(x: float):
            try:
                return work(x)
            except Exception as e:
                raise HTTPException(status_code=500, detail=str(e))
        """
    (finding,) = check("MLE0514", {"app.py": text})
    assert sorted(e.line_start for e in finding.evidence) == [7, 13]


def test_code_outside_of_handlers_may_say_what_it_likes(check):
    text = HEAD + "    except Exception:\n        return 'no', 500\n"
    text += "def cli():\n    try:\n        work()\n    except Exception as e:\n        return str(e)\n"
    assert check("MLE0514", {"app.py": text}) == []


@pytest.mark.parametrize("error", ["httpx.HTTPError", "sqlalchemy.exc.OperationalError"])
def test_the_text_of_a_library_that_talks_to_other_services(check, place, error):
    tail = f"    except {error} as e:\n        abort(503, f'unreachable: {{e}}')\n"
    (finding,) = check("MLE0514", {"app.py": "import httpx, sqlalchemy\n" + HEAD + tail})
    assert place(finding) == ("app.py", 12)


def test_a_helper_that_gives_the_text_back(check, place):
    text = """
        from flask import Flask, request, jsonify
        import joblib
        app = Flask(__name__)
        model = joblib.load("m")
        def ask(row):
            try:
                return {"label": model.predict([row])[0]}
            except Exception as error:
                return {"status": "Error", "message": str(error)}
        @app.route("/p")
        def p():
            return jsonify(ask(request.json))
        """
    (finding,) = check("MLE0514", {"app.py": text})
    assert place(finding) == ("app.py", 10)


def test_a_text_that_is_answered_after_the_handler(check, place):
    text = """
        from flask import Flask, jsonify
        app = Flask(__name__)
        @app.route("/health")
        def health():
            state = {"status": "unknown"}
            try:
                state = ask()
            except Exception as e:
                state = {"status": "unhealthy", KEPT}
            return jsonify(state)
        """
    (finding,) = check("MLE0514", {"app.py": text.replace("KEPT", '"error": str(e)')})
    assert place(finding) == ("app.py", 11)
    assert check("MLE0514", {"app.py": text.replace("KEPT", '"error": "no answer"')}) == []


def test_a_decorator_that_answers_for_the_handler(check, place):
    text = """
        from functools import wraps
        from fastapi import FastAPI, HTTPException
        app = FastAPI()
        def guarded(f):
            @wraps(f)
            def inner(*args, **kwargs):
                try:
                    return f(*args, **kwargs)
                except Exception as error:
                    raise HTTPException(status_code=500, detail=DETAIL)
            return inner
        @app.post("/p")
        @guarded
        def p(x: float):
            return x
        """
    (finding,) = check("MLE0514", {"app.py": text.replace("DETAIL", "str(error)")})
    assert place(finding) == ("app.py", 11)
    assert check("MLE0514", {"app.py": text.replace("DETAIL", "'it failed'")}) == []
