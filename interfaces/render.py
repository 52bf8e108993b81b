"""One place that turns a sealed report into the format that was asked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ml_engineer.interfaces.options import Format
from ml_engineer.report.atomic import write_atomic

if TYPE_CHECKING:
    from ml_engineer.report.schema import Report


def render(report: Report, kind: Format) -> str:
    """The report in a format. `text` is plain here: without colour and 100 columns wide."""
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

            from ml_engineer.report import terminal

            console = Console(width=100, no_color=True, force_terminal=False, highlight=False)
            with console.capture() as captured:
                console.print(terminal.ReportView(report))
            return captured.get()


def emit(report: Report, kind: Format, output: Path | None) -> None:
    """Write the report to a file, whole or not at all, or to standard output."""
    if output is not None:
        write_atomic(output, render(report, kind).encode())
    elif kind == "text":
        from rich.console import Console

        from ml_engineer.report import terminal

        # Not a terminal: no colour, and lines as wide as a reader expects of a file.
        width = None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "100"))
        Console(width=width, highlight=False).print(terminal.ReportView(report))
    else:
        sys.stdout.write(render(report, kind))
        sys.stdout.flush()
