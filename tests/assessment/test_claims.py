"""What the fields of the report say of training code."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_engineer.assessment import claims
from ml_engineer.assessment.repo import Repo

LOOP = "import torch\nfor x in rows:\n    loss(x).backward()\n    optimizer.step()\n"


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("loader_train, loader_valid = loaders(args)", "present"),
        ("val_dataset = Rows('b')", "present"),
        ("rows = Rows('a')", "absent"),
        ("# val_loader = Rows('b')", "absent"),
    ],
)
def test_a_part_that_the_code_holds_out_itself(tmp_path: Path, line: str, state: str):
    (tmp_path / "train.py").write_text(f"{line}\n{LOOP}")
    claim = claims.build(Repo.open(tmp_path))[4]["Validation / Tool/Framework"]
    assert claim.state.value == state
