"""M7-07: nothing says how old the model is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.files import holds
from ml_engineer.assessment.rule import LOW, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_DATED = re.compile(
    r"trained_?(at|on)|train(ing)?_(date|time|window|end)|data_(window|until|from|to)\b|created_at|timestamp|"
    r"datetime\.(datetime\.)?(now|utcnow|today)|date\.today|strftime|time\.time\(\)[^-]*$|model_age",
    re.I | re.M,
)
# Of these words one stands in every match.
_DATED_WORDS = (
    "trained_", "trainedat", "trainedon", "train_", "training_", "data_window", "data_until", "data_from", "data_to",
    "created_at", "timestamp", "datetime", "date.today", "strftime", "time.time()", "model_age",
)  # fmt: skip
_TRACKED = ("mlflow", "wandb", "clearml", "neptune", "comet_ml", "sagemaker", "azureml", "vertexai", "dvclive")
_SCHEDULE = re.compile(
    r"^[ \t]*(?:-[ \t]*)?(cron|schedule):|kind:\s*CronJob|@daily|@weekly|schedule_interval|schedule=", re.M
)


def _is_used(repo: Repo) -> bool:
    from ml_engineer.assessment.artefacts import is_put_to_use, model_writes

    return bool(model_writes(repo)) and is_put_to_use(repo)


@rule(
    id="MLE0707",
    name="no-staleness",
    step=7,
    severity=LOW,
    title="Nothing says when the model was trained, or on which data window",
    why="A model that is months old looks like a fresh one, and no schedule or alert notices.",
    remedy="Save trained_at and the data window with the model, and export its age as a metric.",
    source="ML Test Score monitor-4",
    applies=_is_used,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.artefacts import model_writes

    closure = repo.closure("train")
    texts = (module.file.text for module in closure.modules)
    if closure.imports(*_TRACKED) or any(holds(text, _DATED_WORDS) and _DATED.search(text) for text in texts):
        return
    if any(_SCHEDULE.search(file.text) for file in repo.glob("*.y*ml", "**/dags/*.py")):
        return
    patterns = ("trained_at, training_date, data_window, datetime.now", "a schedule for training")
    yield Hit([repo.missing(model_writes(repo)[0].site(), patterns, closure.modules)])
