import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model trained by the pipeline's own command, and its metrics."""
    folder = tmp_path_factory.mktemp("artefact")
    command = [sys.executable, "-m", "churn.train", "--params", str(ROOT / "params.yaml")]
    command += ["--out", str(folder), "--metrics", str(folder / "metrics.json")]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture
def metadata(trained: Path) -> dict:
    return json.loads((trained / "metadata.json").read_text())


@pytest.fixture
def customer() -> dict:
    return {
        "tenure_months": 3,
        "support_calls": 4,
        "monthly_charges": 89.9,
        "total_charges": 270.1,
        "contract": "month-to-month",
        "internet": "fiber",
        "paperless": "yes",
        "partner": "no",
        "dependents": "no",
    }
