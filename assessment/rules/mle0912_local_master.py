"""M9-12: a cluster job that insists on running on one machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

_LOCAL = re.compile(r"^local(\[[\d*,\s]+\])?$")
_CLUSTER = re.compile(
    r"spark-submit\b(?![^\n]*local)|\bdataproc\b|\bEMR\b|emr-|databricks|SparkApplication|SparkSubmitOperator|"
    r"ray\s+(job\s+)?submit|KubeRay|RayCluster|spark://|yarn"
)


@rule(
    id="MLE0912",
    name="local-master",
    step=9,
    severity=MEDIUM,
    title="A cluster job has a local master written into its code",
    why="What the code says wins over spark-submit: the whole job runs on the driver while the cluster is idle.",
    remedy="Leave the master out of the code and give it by spark-submit or configuration.",
    source="Spark configuration documentation",
    applies=lambda repo: repo.uses("pyspark", "ray", "dask"),
)
def check(repo: Repo) -> Iterator[Hit]:
    sites: list[Site] = []
    for call in repo.calls(
        "*.master", "*.setMaster", "*.setIfMissing", "pyspark.SparkContext", "ray.init", tests=False
    ):
        if not call.module.is_notebook and _is_local(call):
            sites.append(call.site())
    if not sites:
        return
    texts = repo.glob("*.sh", "*.md", "*.yaml", "*.yml", "Makefile", "*.tf")
    texts.extend(module.file for module in repo.modules)
    cluster = any(_CLUSTER.search(file.text) for file in texts if file.size < 300_000)
    yield Hit(sites, severity=MEDIUM if cluster else LOW, anchor="local")


def _is_local(call: Call) -> bool:
    if call.name == "ray.init":
        return call.module.literal(call.keyword("local_mode")) is True
    if not call.name.startswith("pyspark"):
        return False
    value = call.module.literal(call.argument(0, "master"))
    return isinstance(value, str) and _LOCAL.match(value) is not None
