"""The HTTP service: typed requests, one model loaded at start-up, metrics, and a record of every prediction."""

from __future__ import annotations

import hmac
import logging
import math
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import uuid4

import pandas as pd
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import Counter, Gauge, Histogram, make_asgi_app
from pydantic import BaseModel, ConfigDict, Field

from churn.config import Settings
from churn.data import FEATURES
from churn.logs import PREDICTIONS, configure_logging
from churn.profile import bin_of
from churn.store import Artefact, load

SERVED = Counter("churn_predictions_total", "Customers scored", ["model_version"])
REFUSED = Counter("churn_bad_outputs_total", "Scores that were not a probability, and were not served")
SECONDS = Histogram("churn_prediction_seconds", "Time to score one request")
AGE = Gauge("churn_model_age_seconds", "Time since the model in use was trained")

predictions = logging.getLogger(PREDICTIONS)
YesNo = Literal["yes", "no"]


class Customer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tenure_months: float = Field(ge=0, le=600)
    support_calls: float = Field(ge=0, le=200)
    monthly_charges: float = Field(ge=0, le=1_000)
    total_charges: float | None = Field(default=None, ge=0, le=600_000)
    contract: Literal["month-to-month", "one-year", "two-year"]
    internet: Literal["none", "dsl", "fiber"]
    paperless: YesNo
    partner: YesNo
    dependents: YesNo


class PredictRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    customers: list[Customer] = Field(min_length=1, max_length=500)


class PredictResponse(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    request_id: str
    model_version: str
    probabilities: list[float]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = Settings.from_env(os.environ)
    configure_logging(settings.prediction_log)
    artefact = load(settings.model_dir, settings.model_sha256)
    trained_at = datetime.fromisoformat(artefact.metadata["trained_at"])
    AGE.set_function(lambda: (datetime.now(UTC) - trained_at).total_seconds())
    app.state.settings, app.state.artefact = settings, artefact
    yield
    app.state.artefact = None


def get_artefact(request: Request) -> Artefact:
    artefact = getattr(request.app.state, "artefact", None)
    if artefact is None:
        raise HTTPException(503, "the model is not loaded yet")
    return artefact


def require_token(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]
) -> None:
    expected = request.app.state.settings.token.get_secret_value()
    if given is None or not hmac.compare_digest(given.credentials.encode(), expected.encode()):
        raise HTTPException(401, "a valid bearer token is needed", headers={"WWW-Authenticate": "Bearer"})


def score(artefact: Artefact, customers: list[Customer]) -> list[float]:
    """Probabilities for all customers in one call to the model."""
    table = pd.DataFrame([customer.model_dump() for customer in customers], columns=FEATURES)
    table["total_charges"] = table["total_charges"].astype("float64")
    return artefact.pipeline.predict_proba(table)[:, 1].tolist()


def record(artefact: Artefact, request_id: str, customers: list[Customer], scores: list[float], seconds: float) -> None:
    """Log each prediction with the reference bins of its inputs: enough for drift and audit, no customer data."""
    reference = artefact.metadata["reference"]
    for customer, probability in zip(customers, scores, strict=True):
        values = customer.model_dump(exclude_none=True)
        fields = {
            "request_id": request_id,
            "model_version": artefact.version,
            "probability": round(probability, 6),
            "latency_ms": round(seconds * 1000, 3),
            "bins": {name: bin_of(reference[name], value) for name, value in values.items()},
        }
        predictions.info("prediction", extra={"fields": fields})


app = FastAPI(title="Churn", version="1", lifespan=lifespan)
app.mount("/metrics", make_asgi_app())


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "alive"}


@app.get("/readyz")
def readyz(artefact: Annotated[Artefact, Depends(get_artefact)]) -> dict[str, str]:
    return {"status": "ready", "model_version": artefact.version}


@app.post("/v1/predict", dependencies=[Depends(require_token)])
def predict(body: PredictRequest, artefact: Annotated[Artefact, Depends(get_artefact)]) -> PredictResponse:
    started = time.perf_counter()
    with SECONDS.time():
        scores = score(artefact, body.customers)
    if not all(math.isfinite(value) and 0 <= value <= 1 for value in scores):
        REFUSED.inc()
        raise HTTPException(502, "the model gave no usable answer")
    request_id = uuid4().hex
    record(artefact, request_id, body.customers, scores, time.perf_counter() - started)
    SERVED.labels(artefact.version).inc(len(scores))
    return PredictResponse(request_id=request_id, model_version=artefact.version, probabilities=scores)
