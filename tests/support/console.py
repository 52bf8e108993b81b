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
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from ml_engineer.assessment.rule import all_rules
from ml_engineer.interfaces.main import main
from tests.support.killed import Job

SCRIPT = Path(sysconfig.get_path("scripts")) / "ml-engineer"
WARM = ["rich.console", "ml_engineer.report.terminal", "ml_engineer.interfaces.warm"] + [
    f"ml_engineer.interfaces.{name}" for name in ("cli", "review", "runs", "peers", "doctor", "measure", "implement")
]
Result = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Console:
    """`ask` has a run done by this module in a process of its own; outputs pass through `folder`."""

    ask: Callable[[Job], Job]
    folder: Path

    def run(self, arguments: Sequence[str | Path], environment: Mapping[str, str], cwd: Path | None = None) -> Result:
        """One run to its end, with nothing on its standard input."""
        command = [str(SCRIPT), *map(os.fsdecode, arguments)]
        files = [str(self.folder / name) for name in ("out", "err")]
        said = self.ask({"command": command, "env": dict(environment), "cwd": str(cwd or Path.cwd()), "files": files})
        out, err = (Path(file).read_text("utf-8", errors="surrogateescape") for file in files)
        return subprocess.CompletedProcess(command, said["exit"], out, err)


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
            _become(json.loads(line))
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(json.dumps({"exit": os.waitstatus_to_exitcode(status)}) + "\n")
        sys.stdout.flush()


def _become(job: Job) -> NoReturn:
    """Be the program, begun with all that it sees of the world."""
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    for descriptor, file in enumerate([os.devnull, *job["files"]]):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC if descriptor else os.O_RDONLY)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.argv = job["command"]
    script = ModuleType("__main__")  # click names the program by it, and children of a pool begin with it
    script.__file__ = sys.argv[0]
    sys.modules["__main__"] = script
    main()


if __name__ == "__main__":
    _serve()
