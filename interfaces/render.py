"""One place that turns a sealed report into the format that was asked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ml_engineer.interfaces.options import Format
from ml_engineer.report.atomic import write_named

if TYPE_CHECKING:
    from ml_engineer.report.schema import Report
    from ml_engineer.report.terminal import ReportView


def render(report: Report, kind: Format, *, width: int = 100) -> str:
    """The report in a format. `text` is plain here: without colour, so many columns wide."""
    match kind:
        case "json":
            return report.to_json()
        case "md":
            from ml_engineer.report import markdown

            return markdown.render(report)
        case "html":
            from ml_engineer.report import html

            return html.render(report)
        case "sarif":
            from ml_engineer.report import sarif

            return sarif.render(report)
        case "text":
            from rich.console import Console

            console = Console(width=width, no_color=True, force_terminal=False, highlight=False)
            with console.capture() as captured:
                console.print(view(report))
            return "".join(f"{line.rstrip()}\n" for line in captured.get().rstrip("\n").split("\n"))


def emit(report: Report, kind: Format, output: Path | None) -> None:
    """Write the report to a file, whole or not at all, or to standard output."""
    if output is not None:
        write_named(output, render(report, kind).encode())
    elif kind == "text" and sys.stdout.isatty():
        from rich.console import Console

        Console(highlight=False).print(view(report))
    else:
        sys.stdout.write(render(report, kind, width=_columns()))
        sys.stdout.flush()


def view(report: Report) -> ReportView:
    """The report for a console of rich; it ends with where it is kept."""
    from ml_engineer.agent.runs import home
    from ml_engineer.report.terminal import ReportView

    kept = (home() / "runs" / report.run.id / "report.json").exists()
    return ReportView(report, f"ml-engineer runs report {report.run.id} --format html -o report.html" if kept else "")


def _columns() -> int:
    """How wide text is for whoever reads a pipe."""
    asked = os.environ.get("COLUMNS", "")
    return int(asked) if asked.isdecimal() and int(asked) > 0 else 100
