"""A tool call in one line: what it is asked to do, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ml_engineer.report.visible import joined, number, one_line, plural

_LONGEST = 160  # characters of what is asked
_CAME = 100  # of what came of it
_QUOTED = re.compile(r"<quoted from=[^\n]*>\n(.*)\n</quoted>", re.DOTALL)


def asked(name: str, call: Mapping[str, Any]) -> str:
    """`Bash pytest -q`, `Read src/train.py`, `Grep joblib.load in src`."""
    match name:
        case "Bash":
            what = call.get("command", "")
        case "Grep" | "Glob":
            path = call.get("path")
            what = f"{call.get('pattern', '')}" + (f" in {path}" if path else "")
        case "Delegate":
            what = f"{call.get('peer', '')}: {call.get('question', '')}"
        case _:
            what = call.get("file_path") or call.get("path") or _first_text(call)
    line = one_line(f"{name} {what}")
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def unquoted(text: str) -> str:
    """What a tool said, without the marks that tell the model who wrote it."""
    found = _QUOTED.fullmatch(text)
    return found[1] if found else text


def _first_text(call: Mapping[str, Any]) -> str:
    return next((value for value in call.values() if isinstance(value, str)), "")


def outcome(name: str, data: Mapping[str, Any], text: str, *, is_error: bool, seconds: float) -> str:
    """`120 lines`, `exit 1 · 3.2 s`, `not found: …`."""
    told = [_result(name, data, text, is_error)]
    if seconds >= 1:
        told.append(f"{number(round(seconds, 1))} s")
    return joined(told)


def _result(name: str, data: Mapping[str, Any], text: str, is_error: bool) -> str:
    if name == "Bash" and "exit_code" in data:
        lines = len(str(data.get("output", "")).splitlines())
        code = "timed out" if data.get("timed_out") else f"exit {data['exit_code']}"
        return joined([code, plural(lines, "line") if lines else "no output"])
    if is_error:
        refused = text.startswith(f"{name} was refused")
        return one_line(text.removeprefix(f"{name} was ").partition(". ")[0] if refused else text)[:_CAME]
    if name == "Read" and "lines" in data:
        return plural(int(data["lines"]), "line")
    if name in ("Grep", "Glob") and "total" in data:
        return plural(int(data["total"]), "line" if data.get("mode") == "content" else "file")
    if name in ("Edit", "MultiEdit") and "replacements" in data:
        return plural(int(data["replacements"]), "replacement")
    if name == "Write" and "lines" in data:
        return ("new, " if data.get("created") else "") + plural(int(data["lines"]), "line")
    first, *rest = text.split("\n")
    return joined([one_line(first)[:80], f"{plural(len(rest), 'more line')}" if rest else ""])
