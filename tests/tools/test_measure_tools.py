"""Benchmark, ProfileModel and RunTraining: what they give, what they record, and what they say when they cannot."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_engineer.report.evidence import EvidenceChecker
from ml_engineer.report.schema import Measurement
from ml_engineer.tools.base import ToolResult
from ml_engineer.tools.benchmark import BENCHMARK, percentile
from ml_engineer.tools.context import open_context
from ml_engineer.tools.launch import Launch, Launcher, PlainLauncher
from ml_engineer.tools.profile_model import PROFILE_MODEL
from ml_engineer.tools.registry import TOOLS, invoke
from ml_engineer.tools.run_training import RUN_TRAINING
from ml_engineer.tools.sandbox import Level, choose

MEASURING = {tool.name: tool for tool in (BENCHMARK, PROFILE_MODEL, RUN_TRAINING)}
Measure = Callable[..., ToolResult]

SERVER = """
import http.server, os, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/slow":
            time.sleep(0.02)
        if self.path == "/leave":
            print("leaving now", flush=True)
            os._exit(3)
        self.answer(500 if self.path == "/broken" else 200, b"the cause is here" if self.path == "/broken" else b"ok")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200 if body == b'{"x": 1}' else 422, body)

    def log_message(self, *arguments):
        pass

open("pid", "w").write(str(os.getpid()))
one_at_a_time = len(sys.argv) > 2
kind = http.server.HTTPServer if one_at_a_time else http.server.ThreadingHTTPServer
if one_at_a_time:
    Handler.protocol_version = "HTTP/1.0"
kind(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def measure(root: Path, run_dir: Path) -> Measure:
    def call(name: str, launcher: Launcher | None = None, **raw: Any) -> ToolResult:
        async def measured() -> ToolResult:
            async with open_context(root, run_dir, launcher=launcher, fsync=False) as context:
                return await invoke(name, raw, context, MEASURING)

        return asyncio.run(measured())

    return call


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def service(root: Path, port: int) -> dict[str, Any]:
    """Parameters of a Benchmark of a small server, short enough for a test."""
    (root / "server.py").write_text(SERVER)
    command = f"{sys.executable} server.py {port}"
    short = {"duration_seconds": 20, "max_requests": 60, "warmup_requests": 3, "concurrency": 2}
    return {"label": "svc", "command": command, "port": port, "requests": [{"path": "/"}], **short}


def values(result: ToolResult) -> dict[str, float]:
    assert not result.is_error, result.text
    return {one["name"]: one["value"] for one in result.data["measurements"]}


def refused(result: ToolResult) -> str:
    assert result.is_error, result.text
    assert "measurements" not in result.data
    return result.text


# --- Benchmark --------------------------------------------------------------------------------------------------------


def test_a_server_is_measured_and_ended(measure: Measure, service: dict[str, Any], root: Path, port: int) -> None:
    result = measure("Benchmark", **service, ready_path="/")
    found = values(result)
    assert 0 < found["svc latency p50"] <= found["svc latency p95"]
    assert found["svc throughput"] > 0
    assert found["svc error rate"] == 0
    assert found["svc peak memory"] > 3
    assert found["svc start-up"] > 0
    assert "closed loop, 2 clients" in result.data["method"]
    assert "Not to conclude" in result.text
    assert not psutil.pid_exists(int((root / "pid").read_text()))
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_the_figures_follow_from_the_raw_ones(measure: Measure, service: dict[str, Any], run_dir: Path) -> None:
    result = measure("Benchmark", **service)
    raw = json.loads((run_dir / result.data["record"]).read_bytes())
    ordered, found = sorted(raw["latencies_ms"]), values(result)
    assert raw["sent"] == len(ordered)
    assert found["svc latency p50"] == ordered[-(-len(ordered) // 2) - 1]
    assert found["svc throughput"] == pytest.approx(len(ordered) / raw["elapsed_seconds"])


def test_in_an_open_loop_waiting_in_the_queue_counts(measure: Measure, service: dict[str, Any]) -> None:
    service |= {"command": service["command"] + " single", "requests": [{"path": "/slow"}], "concurrency": 1}
    closed = values(measure("Benchmark", **service))
    opened = measure("Benchmark", **service, rate=200)
    assert values(opened)["svc latency p95"] > 3 * closed["svc latency p50"] > 60
    assert "open loop" in opened.data["method"]


def test_too_few_requests_give_no_high_percentile(measure: Measure, service: dict[str, Any]) -> None:
    result = measure("Benchmark", **service | {"max_requests": 10})
    assert "svc latency p50" in values(result)
    assert not {"svc latency p95", "svc latency p99"} & set(values(result))
    assert "too few for p95 and p99" in result.text


def test_a_mix_with_failures_counts_them(measure: Measure, service: dict[str, Any]) -> None:
    bad = {"path": "/broken", "weight": 1}
    service["requests"] = [{"path": "/", "weight": 3}, bad, {"method": "POST", "path": "/p", "json": {"x": 1}}]
    result = measure("Benchmark", **service)
    assert 5 < values(result)["svc error rate"] < 50
    assert list(result.data["failures"]) == ["GET /broken: status 500"]
    assert "the cause is here" in result.text


def test_an_expected_status_is_no_failure(measure: Measure, service: dict[str, Any], root: Path) -> None:
    (root / "body.bin").write_bytes(b"\x00\xff")
    service["requests"] = [{"method": "POST", "path": "/p", "body_file": "body.bin", "expect_status": 422}]
    assert values(measure("Benchmark", **service))["svc error rate"] == 0


def test_when_every_request_fails_nothing_is_measured(measure: Measure, service: dict[str, Any]) -> None:
    service["requests"] = [{"path": "/broken"}]
    text = refused(measure("Benchmark", **service))
    assert "the first 3 requests all failed (GET /broken: status 500 × 3)" in text
    assert "the cause is here" in text


def test_a_port_that_never_opens(measure: Measure, service: dict[str, Any]) -> None:
    service |= {"command": "echo listening elsewhere; sleep 60", "startup_seconds": 1}
    text = refused(measure("Benchmark", **service))
    assert "nothing listens there" in text
    assert "listening elsewhere" in text


def test_a_path_that_is_never_ready(measure: Measure, service: dict[str, Any]) -> None:
    text = refused(measure("Benchmark", **service | {"startup_seconds": 2}, ready_path="/broken"))
    assert "/broken answers with status 500" in text


def test_a_command_that_ends_at_once(measure: Measure, service: dict[str, Any]) -> None:
    text = refused(measure("Benchmark", **service | {"command": "echo no module named app >&2; exit 4"}))
    assert "exit code 4 before it listened" in text
    assert "no module named app" in text


def test_a_server_that_dies_under_load(measure: Measure, service: dict[str, Any]) -> None:
    service["requests"] = [{"path": "/", "weight": 10}, {"path": "/leave"}]
    text = refused(measure("Benchmark", **service))
    assert "exit code 3 under load" in text
    assert "leaving now" in text


def test_a_port_in_use_is_not_mistaken_for_the_service(measure: Measure, service: dict[str, Any]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", service["port"]))
        other.listen()
        assert "already, before the command was started" in refused(measure("Benchmark", **service))


class WithoutSockets:
    """A launcher of a level at which commands make no sockets."""

    def prepare(self, command: str, *, cwd: Path, network: bool = False) -> Launch:
        plain = PlainLauncher().prepare(command, cwd=cwd, network=network)
        return Launch(plain.argv, plain.env, plain.cwd, plain.preexec_fn, "landlock")


def test_without_sockets_it_is_refused_before_it_runs(measure: Measure, service: dict[str, Any], root: Path) -> None:
    text = refused(measure("Benchmark", launcher=WithoutSockets(), **service))
    assert "at sandbox level landlock commands make no sockets" in text
    assert not (root / "pid").exists()


def test_in_the_sandbox_the_loopback_is_its_own(
    measure: Measure, service: dict[str, Any], root: Path, tmp_path: Path
) -> None:
    sandbox = choose(root, tmp_path / "scratch")
    if sandbox.level is not Level.BWRAP:
        pytest.skip("no namespaces here")
    with socket.socket() as outside:  # the same port outside is another one
        outside.bind(("127.0.0.1", service["port"]))
        outside.listen()
        result = measure("Benchmark", launcher=sandbox, **service)
    assert values(result)["svc error rate"] == 0
    assert result.data["level"] == "bwrap"
    assert "sandbox bwrap" in result.data["method"]


@given(st.lists(st.floats(0, 1e6), min_size=1), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_a_value_that_the_share_does_not_exceed(samples: list[float], share: float) -> None:
    value = percentile(sorted(samples), share)
    assert value in samples
    assert sum(one <= value for one in samples) >= share * len(samples)
    assert sum(one < value for one in samples) < share * len(samples)


# --- ProfileModel -----------------------------------------------------------------------------------------------------

MODEL = """
import os, time

class Model:
    def __init__(self, path=None):
        self.path = path

    def predict(self, rows):
        time.sleep(0.001 * len(rows))
        return [sum(row) if isinstance(row, list) else row for row in rows]

    def __reduce__(self):
        return _load, ()

def _load():
    open("loaded-by", "w").write(str(os.getpid()))
    return Model()

def broken(path):
    raise ValueError("bad magic number")

def crash(path):
    os.kill(os.getpid(), 11)

def numbers(n):
    return n

def batch(n):
    return [[1.0, 2.0]] * n
"""


@pytest.fixture
def artefact(root: Path) -> dict[str, Any]:
    """Parameters of a ProfileModel of a pickled object, which is made in a child process."""
    (root / "code_of_model.py").write_text(MODEL)
    make = "import pickle, code_of_model as c; pickle.dump(c.Model(), open('m.pkl', 'wb'))"
    subprocess.run([sys.executable, "-c", make], cwd=root, check=True)
    short = {"repeats": 4, "batch_sizes": [1, 10], "warmup": 1, "make_batch": "code_of_model:batch"}
    return {"label": "m", "artefact": "m.pkl", "loader": "pickle", "python": sys.executable, **short}


def test_a_model_is_timed_by_batch_size(measure: Measure, artefact: dict[str, Any], root: Path, run_dir: Path) -> None:
    result = measure("ProfileModel", **artefact)
    found = values(result)
    assert found["m batch 1 median"] >= 1
    assert found["m batch 10 median"] >= 10
    assert found["m batch 10 spread"] >= 0
    assert found["m memory after loading"] >= found["m memory before loading"] > 1
    assert found["m load time"] > 0
    assert result.data["model"] == "code_of_model.Model"
    raw = json.loads((run_dir / result.data["record"]).read_bytes())
    assert raw["artefact_sha256"] == hashlib.sha256((root / "m.pkl").read_bytes()).hexdigest()
    assert {one["samples"] for one in result.data["measurements"] if "batch" in one["name"]} == {4}


def test_it_is_never_loaded_in_our_own_process(measure: Measure, artefact: dict[str, Any], root: Path) -> None:
    values(measure("ProfileModel", **artefact))
    assert int((root / "loaded-by").read_text()) != os.getpid()
    assert "code_of_model" not in sys.modules


def test_a_function_of_the_repository_can_load_it(measure: Measure, artefact: dict[str, Any]) -> None:
    values(measure("ProfileModel", **artefact | {"loader": "code_of_model:Model", "artefact": ""}))


def test_rows_of_any_json_are_repeated_to_fill_a_batch(measure: Measure, artefact: dict[str, Any]) -> None:
    del artefact["make_batch"]
    values(measure("ProfileModel", **artefact, rows=["a text", "another"]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"artefact": "nix.pkl"}, "nix.pkl is not there; give artefact relative to the workspace root"),
        ({"loader": "no_such_library:load"}, "lacks what the artefact needs: No module named 'no_such_library'"),
        ({"artefact": "code_of_model.py"}, "the loader pickle could not load code_of_model.py"),
        ({"loader": "code_of_model:broken"}, "ValueError: bad magic number. Perhaps it was saved by another library"),
        ({"loader": "code_of_model:nix"}, "there is no nix in code_of_model"),
        ({"loader": "code_of_model:crash"}, "segmentation fault"),
        ({"method": "predict_proba"}, "Model has no method predict_proba; it has predict"),
        ({"python": "no-such-python"}, "There is no such program inside the sandbox"),
        ({"make_batch": "code_of_model:broken"}, "no input could be made: ValueError: bad magic number"),
        ({"make_batch": "code_of_model:numbers"}, "a batch of 1 could not be predicted: TypeError"),
    ],
)
def test_what_is_wrong_is_said(measure: Measure, artefact: dict[str, Any], change: dict[str, Any], said: str) -> None:
    assert said in refused(measure("ProfileModel", **artefact | change))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loader": "keras"}, "loader 'keras' is none of joblib, pickle, torch, onnxruntime"),
        ({"artefact": ""}, "the loader pickle needs artefact"),
        ({"shape": [3]}, "exactly one of rows, shape and make_batch"),
        ({"batch_sizes": [0]}, "batch_sizes must be between"),
    ],
)
def test_a_wrong_call_is_refused_before_anything_runs(
    measure: Measure, artefact: dict[str, Any], root: Path, change: dict[str, Any], said: str
) -> None:
    assert said in refused(measure("ProfileModel", **artefact | change))
    assert not (root / "loaded-by").exists()


def test_the_program_inside_runs_on_an_old_python() -> None:
    """It runs under the target's Python: nothing newer than 3.7 in its syntax."""
    import ast

    for name in ("measure_model",):
        source = Path(PROFILE_MODEL.run.__code__.co_filename).with_name(f"{name}.py").read_text()
        ast.parse(source, feature_version=(3, 7))


# --- RunTraining ------------------------------------------------------------------------------------------------------

TRAIN = """
import json
metrics = {"accuracy": 0.8125, "test": {"f1": 0.5, "ok": True, "curve": [1, 2]}, "nan": float("nan")}
json.dump(metrics, open("metrics.json", "w"))
for epoch in range(3):
    print(f"epoch {epoch} loss={1 / (epoch + 1):.2f}")
"""


@pytest.fixture
def training(root: Path) -> dict[str, Any]:
    (root / "train.py").write_text(TRAIN)
    return {"label": "t", "command": f"{sys.executable} train.py"}


def test_metrics_of_files_and_output_are_measurements(measure: Measure, training: dict[str, Any]) -> None:
    result = measure("RunTraining", **training, output_patterns={"loss": "loss=([0-9.]+)"})
    found = values(result)
    assert (found["t accuracy"], found["t test.f1"], found["t loss"]) == (0.8125, 0.5, 0.33)
    assert found["t duration"] > 0
    assert not {name for name in found if "nan" in name or "ok" in name or "curve" in name}
    methods = {one["name"]: one["method"] for one in result.data["measurements"]}
    assert methods["t accuracy"].endswith("read from metrics.json, the program's own figure")
    assert "printed as “epoch 2 loss=0.33”" in methods["t loss"]
    assert result.data["changed"] == ["metrics.json"]


def test_work_of_others_is_part_of_the_method(measure: Measure, training: dict[str, Any]) -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        result = measure("RunTraining", **training | {"command": "sleep 1"})
    finally:
        busy.kill()
        busy.wait()
    found = re.search(r"other processes kept ([0-9.]+) of \d+ cores busy", result.data["method"])
    assert found and float(found.group(1)) > 0


def test_a_metrics_file_of_an_earlier_run_does_not_count(
    measure: Measure, training: dict[str, Any], root: Path
) -> None:
    (root / "old.json").write_text('{"accuracy": 0.99}')
    os.utime(root / "old.json", (1e9, 1e9))
    result = measure("RunTraining", **training | {"metrics_files": ["old.json"]})
    assert 0.99 not in values(result).values()
    assert "Not written by this run, so not counted: old.json" in result.text
    assert "No metrics were found. The output ends with:\nepoch 0" in result.text


def test_a_training_that_fails_gives_no_metrics(measure: Measure, training: dict[str, Any], root: Path) -> None:
    (root / "train.py").write_text(TRAIN + "\nraise SystemExit('out of data')")
    text = refused(measure("RunTraining", **training))
    assert "exit code 1" in text
    assert "out of data" in text


def test_a_training_over_its_time_is_ended(measure: Measure, training: dict[str, Any], root: Path) -> None:
    training["command"] = "echo $$ > pid; echo epoch 1; sleep 60"
    text = refused(measure("RunTraining", **training, time_limit_seconds=1))
    assert "it still ran after 1 s" in text
    assert "epoch 1" in text
    assert not psutil.pid_exists(int((root / "pid").read_text()))


def test_a_damaged_metrics_file_is_named(measure: Measure, training: dict[str, Any]) -> None:
    training["command"] = "echo '{' > metrics.json"
    result = measure("RunTraining", **training)
    assert re.search(r"metrics.json was not used: Expecting property name", result.text)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"output_patterns": {"a": "a=("}}, "the pattern of a is no valid regular expression"),
        ({"output_patterns": {"a": "a=1"}}, "the pattern of a needs a group"),
        ({"metrics_files": ["../m.json"]}, "without .."),
        ({"metrics_files": ["/etc/*.json"]}, "relative to the workspace"),
    ],
)
def test_wrong_patterns_are_refused(
    measure: Measure, training: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    assert said in refused(measure("RunTraining", **training | change))


# --- records ----------------------------------------------------------------------------------------------------------


def test_every_measurement_stands_in_the_evidence_check(
    measure: Measure, training: dict[str, Any], root: Path, run_dir: Path
) -> None:
    first, second = measure("RunTraining", **training), measure("RunTraining", **training)
    evidence = [Measurement.model_validate(one) for one in first.data["measurements"] + second.data["measurements"]]
    assert len({one.record for one in evidence}) == len(evidence)
    checker = EvidenceChecker(root, run_dir)
    assert all(checker.check(one).evidence for one in evidence)
    made_up = evidence[0].model_copy(update={"value": evidence[0].value + 1})
    assert checker.check(made_up).evidence is None


def test_they_are_a_set_of_their_own_and_change_things() -> None:
    assert not set(MEASURING) & set(TOOLS)
    assert not any(tool.read_only for tool in MEASURING.values())
    for tool in MEASURING.values():
        assert "$ref" not in json.dumps(tool.definition())
