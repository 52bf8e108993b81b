"""The folder of a batch: reports of each repository, and the files about all of them.

    DIR/batch.db                            the index, which decides what is still to be done
        reports/<folder>/report.json …      a repository: the sealed report, its projections, briefs for peers
        summary.json, findings.csv          all of them
        .staged/<folder>/                   reports on their way
        .runs/<folder>/                     with a model: a review under way, which the next attempt goes on with

Reports are staged, then the index says that they are done, then they are published by a rename. A kill at any point
leaves either nothing that counts, or something that `recover` publishes: no review is lost, and none is made twice.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from ml_engineer.interfaces.batch.index import Index
from ml_engineer.interfaces.batch.summary import Summary, findings_csv
from ml_engineer.report.atomic import write_atomic

REPORT = "report.json"
SUMMARY = "summary.json"
FINDINGS = "findings.csv"


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

    def conclude(self, index: Index) -> Summary:
        """Write the files about all repositories, and give what they say."""
        rows, faults = index.rows(), dict(index.faults())
        summary = Summary.of(rows, ((folder, fault) for folder, found in faults.items() for fault in found))
        write_atomic(self.out / SUMMARY, summary.to_json().encode())
        lines = "".join(findings_csv(summary.repositories, faults))
        write_atomic(self.out / FINDINGS, lines.encode("utf-8", "backslashreplace"))
        with contextlib.suppress(OSError):
            self._staged.rmdir()
        return summary
