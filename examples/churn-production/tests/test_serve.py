import json
import time

import pytest
from fastapi.testclient import TestClient

from churn import serve
from churn.store import ArtefactError, load

TOKEN = {"Authorization": "Bearer test-token"}


@pytest.fixture
def log_file(tmp_path):
    return tmp_path / "predictions.jsonl"


@pytest.fixture
def client(trained, metadata, log_file, monkeypatch):
    monkeypatch.setenv("CHURN_MODEL_DIR", str(trained))
    monkeypatch.setenv("CHURN_MODEL_SHA256", metadata["model_sha256"])
    monkeypatch.setenv("CHURN_TOKEN", "test-token")
    monkeypatch.setenv("CHURN_PREDICTION_LOG", str(log_file))
    with TestClient(serve.app) as client:
        yield client


def test_a_prediction_carries_its_model_version_and_is_recorded(client, customer, metadata, log_file):
    answer = client.post(
        "/v1/predict", json={"customers": [customer, {**customer, "total_charges": None}]}, headers=TOKEN
    )
    assert answer.status_code == 200
    body = answer.json()
    assert body["model_version"] == metadata["model_version"]
    assert len(body["probabilities"]) == 2
    assert all(0 <= p <= 1 for p in body["probabilities"])
    records = [json.loads(line) for line in log_file.read_text().splitlines()]
    assert [r["request_id"] for r in records] == [body["request_id"]] * 2
    assert records[0]["bins"]["contract"] == 0
    assert "total_charges" not in records[1]["bins"]


@pytest.mark.parametrize(
    "change", [{"contract": "weekly"}, {"tenure_months": -1}, {"tenure_months": "soon"}, {"unknown": 1}]
)
def test_a_bad_customer_is_refused(client, customer, change):
    answer = client.post("/v1/predict", json={"customers": [{**customer, **change}]}, headers=TOKEN)
    assert answer.status_code == 422


def test_too_large_a_batch_is_refused(client, customer):
    answer = client.post("/v1/predict", json={"customers": [customer] * 501}, headers=TOKEN)
    assert answer.status_code == 422


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_no_token_no_prediction(client, customer, headers):
    assert client.post("/v1/predict", json={"customers": [customer]}, headers=headers).status_code == 401


def test_alive_ready_and_measured(client, customer, metadata):
    client.post("/v1/predict", json={"customers": [customer]}, headers=TOKEN)
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json()["model_version"] == metadata["model_version"]
    metrics = client.get("/metrics/").text
    for name in ("churn_predictions_total", "churn_prediction_seconds_bucket", "churn_model_age_seconds"):
        assert name in metrics


def test_not_ready_without_a_model(client):
    client.app.state.artefact = None
    assert client.get("/readyz").status_code == 503


def test_a_score_that_is_no_probability_is_not_served(client, customer, monkeypatch):
    monkeypatch.setattr(serve, "score", lambda artefact, customers: [float("nan")])
    assert client.post("/v1/predict", json={"customers": [customer]}, headers=TOKEN).status_code == 502


def test_another_file_than_the_released_one_is_not_loaded(trained):
    with pytest.raises(ArtefactError, match="fetch it again"):
        load(trained, "0" * 64)


def test_latency_budget(client, customer):
    """95 of 100 single requests in less than 100 ms each, the budget in README.md."""
    seconds = []
    for _ in range(100):
        started = time.perf_counter()
        assert client.post("/v1/predict", json={"customers": [customer]}, headers=TOKEN).status_code == 200
        seconds.append(time.perf_counter() - started)
    assert sorted(seconds)[94] < 0.1
