"""Fetch a released model into a folder, before the service starts. Its hash is checked before it is put in place."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from pathlib import Path

from churn.store import METADATA_FILE, MODEL_FILE, ArtefactError, write

TIMEOUT_SECONDS = 30


def download(url: str) -> bytes:
    if not url.startswith("https://"):
        raise ArtefactError(f"a model is fetched over https only, not from {url}")
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
        return response.read()


def fetch(uri: str, expected_sha256: str, folder: Path) -> None:
    """`uri` is the folder of one released version. Raises `ArtefactError` when the model is not the released one."""
    model = download(f"{uri}/{MODEL_FILE}")
    actual = hashlib.sha256(model).hexdigest()
    if actual != expected_sha256:
        raise ArtefactError(f"{uri} has SHA-256 {actual}, released was {expected_sha256}")
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / METADATA_FILE, download(f"{uri}/{METADATA_FILE}"))
    write(folder / MODEL_FILE, model)


if __name__ == "__main__":
    fetch(os.environ["CHURN_MODEL_URI"], os.environ["CHURN_MODEL_SHA256"], Path(os.environ["CHURN_MODEL_DIR"]))
