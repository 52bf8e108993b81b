"""M1-12: a saved model that runs code when it is loaded, seen in its opcodes. Nothing is unpickled."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import CRITICAL, MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

# Modules of which nothing belongs in a model.
_MODULES = frozenset(
    "os posix nt ntpath posixpath subprocess sys socket shutil importlib runpy pty ctypes webbrowser requests urllib "
    "urllib2 httplib http aiohttp commands code codeop timeit pdb bdb cProfile profile trace asyncio multiprocessing "
    "signal marshal pip tempfile smtplib ftplib telnetlib ssl inspect gc threading pickle _pickle cPickle "
    "zipimport pkgutil imp".split()
)
_BUILTINS = frozenset(
    "eval exec compile open __import__ execfile input breakpoint apply globals locals vars delattr setattr exit "
    "quit".split()
)
_OTHERS = (
    "numpy.testing._private.utils.runstring", "torch.hub.load", "torch.utils.cpp_extension.load", "types.CodeType",
    "types.FunctionType", "functools.reduce", "torch.serialization.load", "torch.load", "numpy.load", "numpy.f2py.*",
    "pandas.read_pickle", "joblib.load", "logging.config.*", "distutils.*", "setuptools.*", "idlelib.*", "lib2to3.*",
    "dill._dill._create_code", "dill._dill._import_module",
)  # fmt: skip
# Ways in which cloudpickle and dill write functions: code that is stored, not called.
_STORED_CODE = ("types.CodeType", "types.FunctionType", "dill._dill._create_code", "dill._dill._import_module")


@rule(
    id="MLE0112",
    name="artefact-dangerous",
    step=1,
    severity=CRITICAL,
    title="A saved model runs code when it is loaded",
    why="Loading it calls what it names, with the rights of the process that loads it.",
    remedy="Do not load it. Train again, and export to safetensors, ONNX or skops.",
    source="modelscan; picklescan; fickling",
    peers=("devops-engineer",),
    applies=lambda repo: bool(repo.artefacts),
)
def check(repo: Repo) -> Iterator[Hit]:
    for artefact in repo.artefacts:
        if "test" in artefact.file.roles:
            continue
        named = sorted(name for name in artefact.globals if is_dangerous(name))
        calling = [name for name in named if name not in _STORED_CODE]
        if calling:
            yield Hit(
                [artefact.site(note=f"names {', '.join(calling[:5])}")],
                title=f"{artefact.path} calls {calling[0]} when it is loaded",
                anchor=artefact.path,
            )
        elif named:
            yield Hit(
                [artefact.site(note=f"names {', '.join(named[:5])}")],
                severity=MEDIUM,
                confidence="low",
                title=f"{artefact.path} carries code of its own",
                anchor=artefact.path,
            )
        if artefact.lambdas:
            yield Hit(
                [artefact.site(note="a Lambda layer with its code")],
                title=f"{artefact.path} has a Lambda layer that carries code",
                anchor=f"lambda {artefact.path}",
            )


def is_dangerous(name: str) -> bool:
    """Whether a global of a pickle can run commands, reach the network or files, or load more code."""
    module, _, attribute = name.partition(".")
    if module in ("builtins", "__builtin__", "__builtins__"):
        return attribute in _BUILTINS
    if module in _MODULES:
        return True
    from ml_engineer.assessment.repo import matches

    return matches(name, *_OTHERS) or re.search(r"\.(system|popen|spawn\w*|exec[lv]\w*)$", name) is not None
