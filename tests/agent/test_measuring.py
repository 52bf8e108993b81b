"""Measuring needs the permission of the command that it runs, and leaves records that the gate finds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ml_engineer.agent.calls import Call
from ml_engineer.agent.measuring import MEASURING, MeasuringGate
from ml_engineer.agent.records import Records
from ml_engineer.agent.toolbox import PermissionGate, RepositoryTools
from ml_engineer.report.evidence import EvidenceChecker
from ml_engineer.tools.context import open_context
from ml_engineer.tools.permissions import Mode, Permissions

TRAIN = "python -c \"import json; json.dump({'accuracy': 0.75}, open('metrics.json', 'w'))\""


def refusal(mode: Mode, name: str, **fields: object) -> str | None:
    gate = MeasuringGate(PermissionGate(Permissions(mode, Path("/nowhere"))))
    return asyncio.run(gate.refuses(Call("c", name, dict(fields), "step-06/1/0")))


@pytest.mark.parametrize("name", sorted(MEASURING))
def test_measuring_is_judged_as_the_command_that_it_runs(name: str) -> None:
    fields = {"command": "python train.py", "artefact": "model.pkl"}
    assert refusal(Mode.FULL, name, **fields) is None
    for mode in (Mode.READ_ONLY, Mode.ACCEPT_EDITS):
        assert (refusal(mode, name, **fields) or "").startswith(f"{name} was refused: ")
    if name != "ProfileModel":
        assert refusal(Mode.FULL, name, command="rm -rf /") is not None


def test_what_was_measured_can_be_cited_and_checked(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    run, records = tmp_path / "run", Records(tmp_path / "run")

    async def go() -> None:
        async with open_context(tmp_path / "root", run) as context:
            tools = RepositoryTools(context, MEASURING)
            call = Call("c", "RunTraining", {"label": "small", "command": TRAIN}, "step-06/1/0")
            records.keep("step-06", call, await tools.run(call))

    asyncio.run(go())
    found = {one.name: one for one in records.measurements("step-06")}
    (accuracy,) = [one for name, one in found.items() if "accuracy" in name]
    assert accuracy.value == 0.75
    assert EvidenceChecker(tmp_path / "root", run).check(accuracy).evidence is not None
