"""Parameters of a training run and settings of the service, checked when they are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Split(Strict):
    test_size: float = Field(gt=0, lt=1)


class ModelParams(Strict):
    C: float = Field(gt=0)
    max_iter: int = Field(gt=0)


class Gate(Strict):
    roc_auc: float = Field(ge=0, le=1)
    average_precision: float = Field(ge=0, le=1)
    lift_over_baseline: float = Field(ge=0, le=1)
    worst_slice_brier: float = Field(ge=0, le=1)


class Params(Strict):
    data: Path
    seed: int
    split: Split
    model: ModelParams
    gate: Gate

    @classmethod
    def read(cls, path: Path) -> Params:
        """Read a params file. A relative `data` is relative to the file, not to the current directory."""
        params = cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        return params.model_copy(update={"data": (path.parent / params.data).resolve()})


class Settings(Strict):
    model_dir: Path
    model_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    token: SecretStr
    prediction_log: Path | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read the service's settings. A missing one stops the start with its name."""
        return cls.model_validate(
            {
                "model_dir": env["CHURN_MODEL_DIR"],
                "model_sha256": env["CHURN_MODEL_SHA256"],
                "token": env["CHURN_TOKEN"],
                "prediction_log": env.get("CHURN_PREDICTION_LOG"),
            }
        )
