"""Services that put rows into a queue for a worker are services of the worker's model."""

from __future__ import annotations

import pytest

from ml_engineer.assessment import serving
from ml_engineer.assessment.repo import Repo

API = "from fastapi import FastAPI\n{}\napp = FastAPI()\n@app.post('/p')\ndef p(row: dict):\n    {}\n    return 'ok'\n"
WORKER = "import joblib\n{}\nmodel = joblib.load('m')\ndef run(row):\n    return model.predict([row])\n{}\n"
REDIS_WORKER = WORKER.format("import redis", "if __name__ == '__main__':\n    run(redis.Redis().blpop('q'))")


@pytest.mark.parametrize(
    ("imports", "asks", "worker"),
    [
        ("import redis\ndb = redis.Redis()", "db.rpush('q', str(row))", REDIS_WORKER),
        ("from worker import run", "run.delay(row)", WORKER.format("", "")),
        ("import rq\nfrom worker import run\nq = rq.Queue()", "q.enqueue(run, row)", WORKER.format("", "")),
        (
            "import pika\nchannel = pika.BlockingConnection().channel()",
            "channel.basic_publish('', 'q', str(row))",
            WORKER.format("import pika", "pika.BlockingConnection().channel().basic_consume('q', run)\nrun(1)"),
        ),
    ],
)
def test_rows_that_a_worker_takes_are_rows_of_its_model(tmp_path, imports, asks, worker):
    (tmp_path / "api.py").write_text(API.format(imports, asks))
    (tmp_path / "worker.py").write_text(worker)
    assert [h.function.qualname for h in serving.model_handlers(Repo.open(tmp_path))] == ["p"]
    (tmp_path / "worker.py").write_text(worker.replace("model.predict", "list"))
    assert serving.model_handlers(Repo.open(tmp_path)) == []


def test_rows_that_nobody_of_the_repository_takes_ask_no_model(tmp_path):
    (tmp_path / "api.py").write_text(API.format("import redis\ndb = redis.Redis()", "db.rpush('log', str(row))"))
    (tmp_path / "worker.py").write_text(WORKER.format("", "run(1)"))
    assert serving.model_handlers(Repo.open(tmp_path)) == []


def test_a_task_that_is_sent_by_its_name(tmp_path):
    api = API.format("from celery import Celery\nq = Celery('t')", "q.send_task('predict.lr', kwargs=row)")
    worker = "import joblib\nfrom celery import Celery\nq = Celery('t')\nmodel = joblib.load('m')\n"
    worker += "@q.task(name='predict.lr')\ndef run(**row):\n    return model.predict([list(row.values())])\n"
    (tmp_path / "api.py").write_text(api)
    (tmp_path / "worker.py").write_text(worker)
    assert [h.function.qualname for h in serving.model_handlers(Repo.open(tmp_path))] == ["p"]
    (tmp_path / "worker.py").write_text(worker.replace("predict.lr", "other"))
    assert serving.model_handlers(Repo.open(tmp_path)) == []
