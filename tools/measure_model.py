"""Inside the sandbox, under the target's own Python: loads an artefact and times how long it takes to predict.

Sent into the sandbox as text (see measurement.py). Standard library only, from Python 3.7 on; numpy, pandas, joblib,
torch and onnxruntime are the target's, and are imported when the loader or the input asks for them.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

MARKER = "ML_ENGINEER_RESULT "
_ENOUGH = 3  # repeats without which a batch size has no figures
_SEED = 20240101
_VERSIONS = ("numpy", "pandas", "sklearn", "xgboost", "lightgbm", "torch", "onnxruntime", "tensorflow", "joblib")


class Failed(Exception):
    """It could not be measured; the message says what happened and what to change."""


def resident(field: str = "VmRSS") -> int:
    """Resident memory of this process in bytes, now (VmRSS) or at its highest (VmHWM)."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    raise Failed("/proc/self/status says nothing of memory")


def machine_seconds() -> float:
    """CPU seconds that all cores of the machine were busy so far: all but idle and waiting for disks."""
    with open("/proc/stat") as stat:
        user, nice, system, _, _, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


# --- the artefact -----------------------------------------------------------------------------------------------------


def load(loader: str, artefact: str) -> Any:
    """The model. Raises Failed for what a wrong loader or environment gives."""
    try:
        if ":" in loader:
            return _dotted(loader)(*([artefact] if artefact else []))
        return {"joblib": _joblib, "pickle": _pickle, "torch": _torch, "onnxruntime": _onnx}[loader](artefact)
    except Failed:
        raise
    except FileNotFoundError as error:
        raise Failed(
            f"{error.filename or artefact} is not there; give artefact relative to the workspace root"
        ) from None
    except ImportError as error:
        raise Failed(
            f"this Python ({sys.executable}) lacks what the artefact needs: {error}. Give as python the environment "
            "that it was trained in"
        ) from None
    except Exception as error:
        raise Failed(
            f"the loader {loader} could not load {artefact}: {type(error).__name__}: {error}. Perhaps it was saved by "
            "another library (then choose its loader), or by another version of it"
        ) from error


def _digest(artefact: str) -> str:
    """Which file it was; empty for a folder. Read after loading, so that it does not warm the cache."""
    if not Path(artefact).is_file():
        return ""
    digest = hashlib.sha256()
    with open(artefact, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _joblib(artefact: str) -> Any:
    return importlib.import_module("joblib").load(artefact)


def _pickle(artefact: str) -> Any:
    import pickle

    with open(artefact, "rb") as file:
        return pickle.load(file)  # this process is confined and holds no secret


def _torch(artefact: str) -> Any:
    torch = importlib.import_module("torch")
    try:
        model = torch.jit.load(artefact, map_location="cpu")
    except RuntimeError:
        model = torch.load(artefact, map_location="cpu", weights_only=False)
    if isinstance(model, dict):
        raise Failed(
            f"the file holds a dictionary ({', '.join(list(map(str, model))[:5])}), such as a state dict, and no "
            "module: give as loader a module:function that builds the module and loads it"
        )
    return model.eval()


def _onnx(artefact: str) -> Any:
    runtime = importlib.import_module("onnxruntime")
    return runtime.InferenceSession(artefact, providers=runtime.get_available_providers())


def _dotted(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    found = importlib.import_module(module)
    for part in function.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise Failed(f"there is no {part} in {getattr(found, '__name__', module)}") from None
    if not callable(found):
        raise Failed(f"{name} is no function")
    return found


# --- the call ---------------------------------------------------------------------------------------------------------


def predictor(model: Any, loader: str, method: str) -> Callable[[Any], Any]:
    """The one call that is timed."""
    if method:
        if not hasattr(model, method):
            names = [
                name for name in dir(model) if name.startswith(("predict", "transform", "score", "run", "forward"))
            ]
            raise Failed(f"{type(model).__name__} has no method {method}; it has {', '.join(names) or 'none'}")
        return getattr(model, method)  # type: ignore[no-any-return]
    if loader == "onnxruntime":
        name = model.get_inputs()[0].name
        return lambda batch: model.run(None, {name: batch})
    if loader == "torch":
        return _torch_call(model)
    if hasattr(model, "predict"):
        return model.predict  # type: ignore[no-any-return]
    if callable(model):
        return model  # type: ignore[no-any-return]
    raise Failed(f"a {type(model).__name__} has no method predict and cannot be called: give method, or another loader")


def _torch_call(model: Any) -> Callable[[Any], Any]:
    torch = importlib.import_module("torch")

    def call(batch: Any) -> Any:
        with torch.inference_mode():
            return model(torch.as_tensor(batch))

    return call


def batches(spec: dict[str, Any]) -> Callable[[int], Any]:
    """A function that makes an input of n rows. It was tried, so that numpy or pandas do not count as the model's."""
    try:
        make = _maker(spec)
        make(1)
    except Failed:
        raise
    except Exception as error:
        raise Failed(f"no input could be made: {type(error).__name__}: {error}") from error
    return make


def _maker(spec: dict[str, Any]) -> Callable[[int], Any]:
    if spec.get("make_batch"):
        return _dotted(spec["make_batch"])
    if spec.get("shape"):
        numpy = importlib.import_module("numpy")
        drawn = numpy.random.RandomState(_SEED)
        return lambda n: drawn.standard_normal([n] + spec["shape"]).astype("float32")
    rows = spec["rows"]
    if isinstance(rows[0], dict):
        pandas = importlib.import_module("pandas")
        return lambda n: pandas.DataFrame(_cycle(rows, n))
    if not isinstance(rows[0], list):
        return lambda n: _cycle(rows, n)
    numpy = importlib.import_module("numpy")
    return lambda n: numpy.array(_cycle(rows, n))


def _cycle(rows: list[Any], n: int) -> list[Any]:
    return [rows[i % len(rows)] for i in range(n)]


# --- the measurement --------------------------------------------------------------------------------------------------


def profile(spec: dict[str, Any]) -> dict[str, Any]:
    make = batches(spec)
    gc.collect()
    machine, own = machine_seconds(), time.process_time()
    before, begin = resident(), time.perf_counter()
    model = load(spec["loader"], spec.get("artefact", ""))
    seconds, after = time.perf_counter() - begin, resident()
    call = predictor(model, spec["loader"], spec.get("method", ""))
    timings = [_time(call, make, size, spec) for size in spec["batch_sizes"]]
    others = machine_seconds() - machine - (time.process_time() - own)
    versions = {name: getattr(sys.modules[name], "__version__", "?") for name in _VERSIONS if name in sys.modules}
    return {
        "model": f"{type(model).__module__}.{type(model).__name__}",
        "load_seconds": seconds,
        "rss_before": before,
        "rss_after": after,
        "rss_peak": resident("VmHWM"),
        "batches": timings,
        "other_cores": max(0.0, others / (time.perf_counter() - begin)),
        "cores": os.cpu_count() or 1,
        "artefact_sha256": _digest(spec.get("artefact", "")),
        "environment": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cpus": len(os.sched_getaffinity(0)),
            "threads": {
                name: os.environ[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if name in os.environ
            },
            "versions": versions,
        },
    }


def _time(call: Callable[[Any], Any], make: Callable[[int], Any], size: int, spec: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds of each repeat for one batch size. The batch is made before, outside of the time."""
    try:
        batch = make(size)
        for _ in range(spec["warmup"]):
            call(batch)
    except Exception as error:
        where = traceback.format_exc(limit=-3)
        raise Failed(
            f"a batch of {size} could not be predicted: {type(error).__name__}: {error}. Check the input against what "
            f"the model was trained on\n{where}"
        ) from None
    taken: list[float] = []
    over = time.perf_counter() + spec["seconds_per_batch"]
    while len(taken) < spec["repeats"] and (time.perf_counter() < over or len(taken) < _ENOUGH):
        begin = time.perf_counter()
        call(batch)
        _settle()
        taken.append((time.perf_counter() - begin) * 1000)
    return {"size": size, "milliseconds": [round(one, 4) for one in taken]}


def _settle() -> None:
    """A GPU works on after the call: wait for it, where there is one in use."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def main() -> None:
    try:
        result = profile(json.loads(sys.argv[1]))
    except Failed as failed:
        result = {"error": str(failed), "tail": ""}
    print("\n" + MARKER + json.dumps(result), flush=True)  # noqa: T201 - standard output is the channel
