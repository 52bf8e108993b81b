"""The same batch on a cluster of two nodes, of which one dies, and then the other."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ml_engineer.interfaces.batch.index import Index
from tests.interfaces.batch.conftest import Batch, tree, wait_for
from tests.interfaces.batch.model import STEPS, asked, script
from tests.support.messages_server import MessagesServer

pytest.importorskip("ray", reason="Ray is an extra")
Many = Callable[[int], list[Path]]
Start = Callable[..., subprocess.Popen[str]]

# Ray's own test cluster, in a process of its own: a line from us takes the second node away.
NODES = """\
import sys
from ray.cluster_utils import Cluster
small = {"num_cpus": 1, "object_store_memory": 80_000_000}
cluster = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
second = cluster.add_node(**small)
print("address", cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(second, allow_graceful=False)
    print("removed", flush=True)
"""


@pytest.fixture
def model() -> Iterator[MessagesServer]:
    """Every step of a review ends with its first answer, after a moment."""
    with MessagesServer(script({"input_tokens": 100, "output_tokens": 10}, latency=0.3), keep_bodies=False) as server:
        yield server


@pytest.fixture
def cluster(environment: dict[str, str], model: MessagesServer, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    patient = {"RAY_raylet_start_wait_time_s": "300"}  # a busy machine takes long to start it
    with (tmp_path / "cluster.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", NODES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            text=True, env=environment | patient | asked(model),
        )  # fmt: skip
    yield process
    family = [process, *psutil.Process(process.pid).children(recursive=True)]
    for one in family:
        try:
            one.send_signal(signal.SIGKILL)
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue
    psutil.wait_procs([one for one in family if isinstance(one, psutil.Process)], timeout=30)
    process.communicate()


def said(process: subprocess.Popen[str], word: str, folder: Path) -> str:
    """What the cluster says behind a word."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(word):
            return line.removeprefix(word).strip()
    raise AssertionError(f"the cluster has ended:\n{(folder / 'cluster.log').read_text()}")


def test_a_node_dies_and_the_reports_are_those_of_one_machine_then_the_cluster_is_lost_and_the_batch_goes_on(
    cluster: subprocess.Popen[str],
    model: MessagesServer,
    started: Start,
    batch: Batch,
    many: Many,
    tmp_path: Path,
    out: Path,
) -> None:
    roots = many(10)
    (tmp_path / "empty").mkdir()
    address = said(cluster, "address", tmp_path)
    child = started(*roots, "empty", "--engine", "ray", "--address", address)
    wait_for(lambda: len(list(out.glob("reports/*/report.json"))) >= 2)
    assert cluster.stdin is not None
    cluster.stdin.write("remove\n")
    cluster.stdin.flush()
    said(cluster, "removed", tmp_path)
    shown, errors = child.communicate(timeout=120)
    assert child.returncode == 2, errors
    assert shown.startswith("11 repositories: 10 reviewed, 1 failed\n"), shown
    batch(*roots, "empty", into=tmp_path / "local")
    assert tree(out / "reports") == tree(tmp_path / "local" / "reports")
    for name in ("summary.json", "findings.csv"):
        assert (out / name).read_bytes() == (tmp_path / "local" / name).read_bytes()

    assert model.requests == []
    lost = tmp_path / "lost"
    child = started(*roots, "--engine", "ray", "--address", address, "--max-cost", "10", into=lost, **asked(model))
    wait_for(lambda: len(list(lost.glob("reports/*/report.json"))) >= 1)
    for process in psutil.Process(cluster.pid).children(recursive=True):
        process.kill()
    _, errors = child.communicate(timeout=120)
    assert child.returncode == 2, errors
    assert "the cluster is gone" in errors
    assert "Traceback" not in errors
    before = {path: path.stat().st_ino for path in lost.glob("reports/*/report.json")}
    with Index.open(lost) as index:
        cost, turns = index.spent()
        assert STEPS * len(before) <= turns <= len(model.requests)
        assert cost > 0
        assert {row.usage.turns for row in index.rows() if row.state == "reviewed"} == {STEPS}
    result = batch("--resume", into=lost)  # here, and without a model
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("10 repositories: 10 reviewed\n")
    assert before.items() <= {path: path.stat().st_ino for path in lost.glob("reports/*/report.json")}.items()


def test_a_cluster_that_is_not_there_is_said(started: Start, batch: Batch, many: Many, out: Path) -> None:
    roots = many(1)
    child = started(*roots, "--engine", "ray", "--address", "127.0.0.1:9")
    _, errors = child.communicate(timeout=120)
    assert child.returncode == 2
    assert "the cluster at 127.0.0.1:9 cannot be reached" in errors
    assert "Traceback" not in errors
    assert batch(*roots).exit_code == 0


def test_options_that_do_not_fit_are_refused(batch: Batch, many: Many) -> None:
    roots = many(1)
    assert "--engine ray" in batch(*roots, "--address", "h:1").stderr
    assert "--workers is for" in batch(*roots, "--engine", "ray", "--workers", "3").stderr
