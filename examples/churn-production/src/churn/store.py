"""The artefact: one skops file and its metadata. A file whose hash is not the expected one is never opened."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import skops.io
from sklearn.pipeline import Pipeline

MODEL_FILE = "model.skops"
METADATA_FILE = "metadata.json"
# Types beyond those that skops trusts by itself: our own function, and the types of the categories' arrays.
TRUSTED = ["churn.features.add_derived", "numpy.dtype"]


class ArtefactError(RuntimeError):
    """The artefact on disk is not the one that was released."""


@dataclass(frozen=True)
class Artefact:
    pipeline: Pipeline
    metadata: dict[str, Any]

    @property
    def version(self) -> str:
        return str(self.metadata["model_version"])


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save(pipeline: Pipeline, metadata: dict[str, Any], folder: Path) -> None:
    """Write model and metadata; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / MODEL_FILE, skops.io.dumps(pipeline))
    metadata = {**metadata, "model_sha256": sha256(folder / MODEL_FILE)}
    write(folder / METADATA_FILE, json.dumps(metadata, indent=2, sort_keys=True).encode())


def write(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(path.suffix + ".part")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def load(folder: Path, expected_sha256: str) -> Artefact:
    """Load a released artefact. Raises `ArtefactError` when its hash differs from the released one."""
    actual = sha256(folder / MODEL_FILE)
    if actual != expected_sha256:
        raise ArtefactError(f"{MODEL_FILE} has SHA-256 {actual}, released was {expected_sha256}: fetch it again")
    metadata = json.loads((folder / METADATA_FILE).read_text(encoding="utf-8"))
    return Artefact(skops.io.load(folder / MODEL_FILE, trusted=TRUSTED), metadata)
