"""M7-05, what is absent: the service configures no logging."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_CONFIGURED = re.compile(
    r"basicConfig|dictConfig|fileConfig|addHandler|structlog|loguru|StreamHandler|pythonjsonlogger|logger_config|"
    r"LOGGING_CONFIG|LOGGING\s*=|setup_logging|init_logging|configure_logging|--log-config|log_config|setLevel"
)
_STARTS = ("Dockerfile*", "Procfile", "*.sh", "*compose*.y*ml", "gunicorn*.py", "logging*.*", "log_config*")


def _serves(repo: Repo) -> bool:
    from ml_engineer.assessment.serving import serves_model

    return serves_model(repo)


@rule(
    id="MLE0705",
    part="config",
    name="no-log-config",
    step=7,
    severity=LOW,
    title="The service configures no logging",
    why="Messages below WARNING are dropped and the rest come without time or structure.",
    remedy="Configure the root logger once at start-up, with levels from the environment and JSON lines.",
    source="Python documentation, logging configuration",
    applies=_serves,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.serving import served_app, serving_modules

    app = served_app(repo)
    modules = serving_modules(repo)
    if app is None or any(_CONFIGURED.search(module.file.text) for module in modules):
        return
    if any(_CONFIGURED.search(file.text) for file in repo.glob(*_STARTS)):
        return
    yield Hit([repo.missing(app.site, ("basicConfig, dictConfig, structlog, loguru, addHandler",), modules)])
