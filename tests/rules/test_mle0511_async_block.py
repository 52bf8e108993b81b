HEAD = """
import asyncio, time, joblib
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
app = FastAPI()
model = joblib.load("m")

def score(x):
    return model.predict([[x]])
"""


def test_a_prediction_on_the_loop_directly_and_through_a_helper(check, place):
    text = HEAD + (
        "@app.get('/a')\nasync def a(x: float):\n    return model.predict([[x]])\n"
        "@app.get('/b')\nasync def b(x: float):\n    return score(x)\n"
    )
    (finding,) = check("MLE0511", {"app.py": text})
    assert (place(finding), [e.line_start for e in finding.evidence]) == (("app.py", 12), [12, 15])


def test_plain_handlers_threads_and_awaited_clients_are_fine(check):
    text = HEAD + (
        "@app.get('/a')\ndef a(x: float):\n    return score(x)\n"
        "@app.get('/b')\nasync def b(x: float):\n    return await run_in_threadpool(score, x)\n"
        "@app.get('/c')\nasync def c(x: float):\n"
        "    loop = asyncio.get_running_loop()\n"
        "    return await loop.run_in_executor(None, lambda: model.predict([[x]]))\n"
        "@app.get('/d')\nasync def d(x: float):\n    return await client.predict(x)\n"
    )
    assert check("MLE0511", {"app.py": text}) == []


def test_a_model_that_the_start_keeps_on_the_application(check, place):
    text = """
        import torch
        from fastapi import FastAPI
        app = FastAPI()
        @app.post("/predict")
        async def predict(text: str):
            model = app.state.{}
            with torch.no_grad():
                return str(model(text))
        """
    (finding,) = check("MLE0511", {"app.py": text.format("model")})
    assert place(finding) == ("app.py", 9)
    assert check("MLE0511", {"app.py": text.format("limiter")}) == []
