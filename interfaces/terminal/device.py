"""What this terminal can do, read from the environment once: columns, colours, characters, whether it is one at all.

    device = Device.find(plain=False)
    device.fit("✓ done …")          # the same in characters that the terminal has: "+ done ..." in an ASCII locale

The locale decides about characters, not Python's idea of it: Python writes UTF-8 in the C locale, and a terminal that
was told nothing may not show it.
"""

from __future__ import annotations

import codecs
import locale
import os
import shutil
import sys
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Colour = Literal["none", "standard", "256", "truecolor"]

_DUMB = frozenset({"", "dumb", "unknown"})
# One character each where columns count on it, so that what was laid out in columns stays so.
_ASCII = str.maketrans(
    {
        "✓": "+",
        "✗": "x",
        "●": "*",
        "○": "o",
        "◐": ">",
        "•": "*",
        "·": "-",
        "…": "...",
        "›": ">",
        "→": "->",
        "↑": "^",
        "↓": "v",
        "▌": "|",
        "│": "|",
        "┃": "|",
        "─": "-",
        "━": "=",
        "╸": "-",
        "╺": "-",
        "“": '"',
        "”": '"',
        "‘": "'",
        "’": "'",
        "–": "-",
        "—": "-",
        "×": "x",
        "\xa0": " ",
    }
)


@dataclass(frozen=True)
class Device:
    """`drawn`: it can be redrawn, so the screen is used; else lines are written. `encoding`: of both directions."""

    drawn: bool
    interactive: bool
    colour: Colour
    encoding: str

    @classmethod
    def find(cls, *, plain: bool, environment: Mapping[str, str] | None = None) -> Device:
        """The terminal of this process. `plain` is the user's wish for lines."""
        env = os.environ if environment is None else environment
        interactive = sys.stdin.isatty() and sys.stdout.isatty()
        drawn = interactive and not plain and env.get("TERM", "") not in _DUMB
        return cls(drawn, interactive, _colour(env) if drawn else "none", _encoding(env, interactive))

    @property
    def columns(self) -> int:
        return max(20, shutil.get_terminal_size((80, 24)).columns)

    @property
    def rows(self) -> int:
        return max(4, shutil.get_terminal_size((80, 24)).lines)

    def fit(self, text: str) -> str:
        """The text in characters that the terminal has. A letter loses its accent before it becomes a question mark."""
        if self.encoding == "utf-8" or text.isascii():
            return text
        return "".join(map(self._fit_one, text.translate(_ASCII)))

    def _fit_one(self, character: str) -> str:
        for candidate in (character, unicodedata.normalize("NFKD", character)[0]):
            try:
                candidate.encode(self.encoding)
            except UnicodeEncodeError:
                continue
            return candidate
        return "?"

    def take_over(self) -> None:
        """Make the standard streams speak the terminal's characters."""
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(encoding=self.encoding, errors="replace")


def _colour(env: Mapping[str, str]) -> Colour:
    if env.get("NO_COLOR"):
        return "none"
    if env.get("COLORTERM", "") in ("truecolor", "24bit"):
        return "truecolor"
    return "256" if "256" in env.get("TERM", "") else "standard"


def _encoding(env: Mapping[str, str], interactive: bool) -> str:
    """`utf-8`, another charset of the locale, or `ascii` where the locale names none. Pipes are UTF-8 unless told."""
    told = env.get("PYTHONIOENCODING", "").partition(":")[0]
    name = next((env[key] for key in ("LC_ALL", "LC_CTYPE", "LANG") if env.get(key)), "")
    charset = told or name.partition(".")[2].partition("@")[0]
    if not charset and not interactive and not name:
        return "utf-8"
    if not charset and name not in ("", "C", "POSIX"):
        charset = locale.getpreferredencoding(False)
    try:
        return codecs.lookup(charset or "ascii").name
    except LookupError:
        return "ascii"
