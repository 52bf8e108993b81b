"""M6-09: nothing in the repository measures how fast the service answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_FILES = (
    "*locust*.py",
    "*.jmx",
    "*k6*.js",
    "*artillery*.y*ml",
    "*gatling*",
    "*loadtest*",
    "*load_test*",
    "*benchmark*.py",
)
_TEXT = re.compile(
    r"\bfrom locust\b|\bimport locust\b|k6/http|pytest[-_]benchmark|\bvegeta\b|\bwrk2?\b +-|\bhey +-[nczq]|"
    r"\bab +-n|\blocust\b +-|perf_analyzer|\bautocannon\b|\boha +-"
)
# Words one of which stands in every match: far cheaper to look for.
_TEXT_WORDS = (
    "locust", "k6/http", "benchmark", "vegeta", "wrk", "hey ", "ab ", "perf_analyzer", "autocannon", "oha ",
)  # fmt: skip
_TIMED = re.compile(r"perf_counter|monotonic\(|time\.time\(|elapsed")
_BUDGET = re.compile(
    r"assert[^\n]*(elapsed|latency|duration|took|perf_counter|p9[59])[^\n]*<|def test\w*\(.*\bbenchmark\b"
)
_SEARCHED = ("*.py", "*.sh", "Makefile", "*.js", "*.toml", "*.y*ml", "requirements*.txt", "justfile", "*.cfg")


def _serves(repo: Repo) -> bool:
    from ml_engineer.assessment.serving import service_site

    return service_site(repo) is not None


@rule(
    id="MLE0609",
    name="no-latency-evidence",
    step=6,
    severity=MEDIUM,
    title="Nothing measures the latency or the capacity of the service",
    why="How many requests it takes, and when it becomes too slow, is found out by its users.",
    remedy="Add a load test (Locust, k6) with a latency budget, and run it before each release.",
    source="ML Test Score monitor-6",
    peers=("aiops-specialist",),
    applies=_serves,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.serving import service_site

    need = service_site(repo)
    if need is None or repo.glob(*_FILES):
        return
    for file in repo.glob(*_SEARCHED):
        if any(word in file.text for word in _TEXT_WORDS) and _TEXT.search(file.text):
            return
        if "test" in file.roles and _TIMED.search(file.text) and _BUDGET.search(file.text):
            return
    patterns = ("locust, k6, JMeter, Artillery, vegeta, wrk, hey", "pytest-benchmark", "asserts on elapsed time")
    yield Hit([repo.missing(need, patterns, repo.glob("**/tests/**", "*test*.py", "requirements*.txt", "Makefile"))])
