"""The console script as tests call it: `console.run(["review", root], environment)`.

Each run is the program in a process of its own, with its arguments, environment, folder, standard streams and exit
code, but forked from one that has imported everything: that takes most of the time of a small review. What is about
the start itself runs SCRIPT.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from ml_engineer.assessment.rule import all_rules
from ml_engineer.interfaces.main import main

SCRIPT = Path(sysconfig.get_path("scripts")) / "ml-engineer"
DEADLINE = 120.0
WARM = ["rich.console", "ml_engineer.report.terminal", "ml_engineer.interfaces.warm"] + [
    f"ml_engineer.interfaces.{name}" for name in ("cli", "review", "runs", "peers", "doctor", "measure", "implement")
]
Result = subprocess.CompletedProcess[str]


class Console:
    """Starts the process that runs are forked from. `folder` is where their outputs pass through."""

    def __init__(self, folder: Path) -> None:
        self._out, self._err = folder / "out", folder / "err"
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean_environment(folder)
        )

    def run(self, arguments: Sequence[str | Path], environment: Mapping[str, str], cwd: Path | None = None) -> Result:
        """One run to its end, with nothing on its standard input."""
        command = [str(SCRIPT), *map(os.fsdecode, arguments)]
        order = [command, dict(environment), str(cwd or Path.cwd()), str(self._out), str(self._err)]
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(order).encode() + b"\n")
        self._server.stdin.flush()
        ready, _, _ = select.select([self._server.stdout], [], [], DEADLINE)
        if not ready:
            raise subprocess.TimeoutExpired(command, DEADLINE)
        code = int(self._server.stdout.readline())
        said = [path.read_text("utf-8", errors="surrogateescape") for path in (self._out, self._err)]
        return subprocess.CompletedProcess(command, code, *said)

    def close(self) -> None:
        self._server.kill()
        self._server.communicate()


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """Nothing of the developer's own machine: no key, no home, no settings."""
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "LANG", "LC_ALL", "TMPDIR")}
    return kept | {"ML_ENGINEER_HOME": str(home), "HOME": str(home), "COLUMNS": "100"} | more


def _serve() -> None:
    """Import everything; then fork for each line on standard input, and answer with the exit code."""
    sys.path[0] = str(SCRIPT.parent)
    for name in WARM:
        importlib.import_module(name)
    all_rules()
    gc.freeze()
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            _become(*json.loads(line))
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(command: list[str], environment: dict[str, str], cwd: str, out: str, err: str) -> NoReturn:
    """Be the program that was started with this."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, path, flags in ((0, os.devnull, os.O_RDONLY), (1, out, os.O_WRONLY), (2, err, os.O_WRONLY)):
        os.dup2(os.open(path, flags | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.argv = command
    main()


if __name__ == "__main__":
    _serve()
