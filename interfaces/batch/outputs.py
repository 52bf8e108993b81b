"""The folder of a batch: reports of each repository, and the files about all of them.

    DIR/batch.db                            the index, which decides what is still to be done
        reports/<folder>/report.json …      a repository: the sealed report, its projections, briefs for peers
        summary.json, findings.csv          all of them, as data
        dashboard.html                      all of them, for people
        changes.txt                         against an earlier batch, where one was named
        .staged/<folder>/                   reports on their way
        .runs/<folder>/                     with a model: a review under way, which the next attempt goes on with

Reports are staged, then the index says that they are done, then they are published by a rename. A kill at any point
leaves either nothing that counts, or something that `recover` publishes: no review is lost, and none is made twice.
"""

from __future__ import annotations

import contextlib
import datetime
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ml_engineer.interfaces.batch import dashboard
from ml_engineer.interfaces.batch.compare import Earlier, as_text, compare
from ml_engineer.interfaces.batch.index import Index
from ml_engineer.interfaces.batch.policy import Policy
from ml_engineer.interfaces.batch.summary import FINDINGS, SUMMARY, Fault, Row, Summary, findings_csv
from ml_engineer.report.atomic import write_atomic
from ml_engineer.report.schema import Severity

REPORT = "report.json"
DASHBOARD = "dashboard.html"
CHANGES = "changes.txt"
_READ_FIRST = ("report.html", "report.md", REPORT)


@dataclass(frozen=True)
class Against:
    """What the results are held against, each where it was asked for. `today` is the UTC day that exceptions know."""

    today: datetime.date
    policy: Policy | None = None
    fail_on: Severity | None = None
    earlier: Earlier | None = None

    def held(self, summary: Summary, faults: Mapping[str, Sequence[Fault]]) -> Summary:
        """The summary with verdict and comparison."""
        rows, judged = summary.repositories, self.policy is not None or self.fail_on is not None
        policy = self.policy or Policy()
        return summary.model_copy(
            update={
                "policy": policy.judge(rows, faults, fail_on=self.fail_on, today=self.today) if judged else None,
                "comparison": compare(self.earlier, rows, faults) if self.earlier else None,
            }
        )


class Outputs:
    """Writes below the batch's folder. OSError where it cannot be written."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.reports = out / "reports"
        self._staged = out / ".staged"

    def stage(self, folder: str, files: Mapping[str, str]) -> int:
        """Write the files of a repository aside. Gives the size of its report in bytes."""
        place = self._staged / folder
        shutil.rmtree(place, ignore_errors=True)
        for name, text in files.items():
            path = place / PurePosixPath(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        return (place / REPORT).stat().st_size

    def publish(self, folder: str) -> None:
        """Put what was staged into its place, instead of what is there."""
        staged, place = self._staged / folder, self.reports / folder
        self.reports.mkdir(exist_ok=True)
        try:
            staged.rename(place)
        except OSError:  # an earlier report is there
            shutil.rmtree(place)
            staged.rename(place)

    def run_folder(self, folder: str) -> Path:
        """Where a review with a model keeps its work."""
        return self.out / ".runs" / folder

    def size(self, folder: str) -> int | None:
        """Size of the published report, or None where there is none."""
        try:
            return (self.reports / folder / REPORT).stat().st_size
        except OSError:
            return None

    def recover(self, index: Index) -> None:
        """Settle what a kill has left: publish what the index calls done, put the rest back."""
        done = dict(index.finished())
        for path in list(self._staged.iterdir()) if self._staged.is_dir() else []:
            if path.name in done and (path / REPORT).is_file():
                self.publish(path.name)
            else:
                shutil.rmtree(path)
        for folder, size in done.items():
            if self.size(folder) != size:
                index.lost(folder)
        for folder in index.cut_off():
            index.put_back(folder)

    def conclude(self, index: Index, against: Against) -> Summary:
        """Write the files about all repositories, and give what they say."""
        rows, faults = index.rows(), dict(index.faults())
        plain = Summary.of(rows, ((folder, fault) for folder, found in faults.items() for fault in found))
        summary = against.held(plain, faults)
        write_atomic(self.out / SUMMARY, summary.to_json().encode())
        lines = "".join(findings_csv(summary.repositories, faults))
        write_atomic(self.out / FINDINGS, lines.encode("utf-8", "backslashreplace"))
        write_atomic(self.out / DASHBOARD, dashboard.render(summary, faults, self._links(rows)).encode())
        if summary.comparison is not None:
            write_atomic(self.out / CHANGES, as_text(summary.comparison).encode())
        else:
            (self.out / CHANGES).unlink(missing_ok=True)  # of an earlier run, and of another comparison
        with contextlib.suppress(OSError):
            self._staged.rmdir()
        return summary

    def _links(self, rows: Sequence[Row]) -> dict[str, str]:
        """From the folder of a repository to the report that a person reads, relative to the batch's folder."""
        found: dict[str, str] = {}
        for row in rows:
            names = [name for name in _READ_FIRST if (self.reports / row.folder / name).is_file()]
            if names:
                found[row.folder] = f"reports/{row.folder}/{names[0]}"
        return found
