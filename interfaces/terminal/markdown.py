"""Markdown as it streams in: cut into blocks that no longer change, so that each is painted once.

    cutter = Cutter()
    for piece in pieces:
        for block in cutter.feed(piece): …     # complete: goes into the scrollback
        cutter.tail                            # the blocks in the making: drawn again as they grow
    for block in cutter.finish(): …

The work is linear in what was streamed: a block ends at the latest after a number of lines (`_PATIENCE`), and the lines
of a code block are blocks of their own. Blocks know no context but their indentation, which is what a list keeps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["paragraph", "heading", "item", "quote", "code", "table", "rule"]

_PATIENCE = 24  # lines of one paragraph or quote; after so many the block is cut though it goes on
_ROWS = 200  # of one table
_LONG_LINE = 4000  # characters without a newline
_FENCE = re.compile(r"^( *)(`{3,}|~{3,}) *([^`]*)$")
_HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_ITEM = re.compile(r"^( *)([-*+•]|\d{1,6}[.)])\s+(.*)$")
_RULE = re.compile(r"^ {0,3}([-*_])( *\1){2,} *$")
_QUOTE = re.compile(r"^ {0,3}> ?(.*)$")


@dataclass(frozen=True)
class Block:
    """`text` without its markers. `mark`: level of a heading (`##`), of an item its bullet or number, of code the
    language. `gap`: an empty line stands before it."""

    kind: Kind
    text: str
    mark: str = ""
    indent: int = 0
    gap: bool = False


class Cutter:
    """Cuts a text that comes in pieces."""

    def __init__(self) -> None:
        self._line = ""  # the line that is coming in
        self._open: Block | None = None
        self._size = 0  # lines of the open block
        self._fence: re.Match[str] | None = None
        self._fresh = False  # no line of the fenced code was given yet
        self._gap = False

    def feed(self, piece: str) -> list[Block]:
        """The blocks that are complete now."""
        *lines, self._line = (self._line + piece).replace("\r\n", "\n").split("\n")
        done = [block for line in lines for block in self._take_long(line)]
        if len(self._line) > _LONG_LINE:
            *parts, self._line = _parts(self._line)
            done += [block for part in parts for block in self._take_part(part)]
        return done

    @property
    def tail(self) -> list[Block]:
        """What would be shown if nothing more came."""
        return self._copy().finish()

    def finish(self) -> list[Block]:
        """The rest. The cutter is as new behind it."""
        done = self._take(self._line) if self._line else []
        done += self._close()
        self.__dict__.update(Cutter().__dict__)
        return done

    def _copy(self) -> Cutter:
        copy = Cutter()
        copy.__dict__.update(self.__dict__)
        return copy

    def _take_long(self, line: str) -> list[Block]:
        *parts, rest = _parts(line)
        return [block for part in parts for block in self._take_part(part)] + self._take(rest)

    def _take_part(self, part: str) -> list[Block]:
        """A piece of a line that is too long to wait for its end."""
        return self._take(part) + self._close()

    # --- one line after the other ---------------------------------------------------------------------------------

    def _take(self, line: str) -> list[Block]:
        if self._fence is not None:
            return self._code(line)
        if not line.strip():
            done = self._close()
            self._gap = True
            return done
        if fence := _FENCE.match(line):
            done = self._close()
            self._fence, self._fresh = fence, True
            return done
        return self._text(line)

    def _code(self, line: str) -> list[Block]:
        assert self._fence is not None
        indent, ticks, language = len(self._fence[1]), self._fence[2], self._fence[3].strip()
        closing = line.strip()
        if closing.startswith(ticks) and not closing.strip(ticks[0]):
            self._fence, self._gap = None, True
            return []
        gap, self._fresh = self._fresh, False
        text = line[indent:] if not line[:indent].strip() else line.lstrip()
        return [Block("code", text, language.partition(" ")[0], indent, gap)]

    def _text(self, line: str) -> list[Block]:
        kind, text, mark, indent = _kind(line)
        block = self._open
        if block is not None and self._goes_on(block, kind, line):
            more = line.strip() if kind == "paragraph" else text
            self._open = Block(block.kind, f"{block.text}\n{more}", block.mark, block.indent, block.gap)
            self._size += 1
            return self._close() if self._size >= (_ROWS if block.kind == "table" else _PATIENCE) else []
        done = self._close()
        self._open, self._size = Block(kind, text, mark, indent, self._gap or kind == "heading"), 1
        self._gap = False
        if kind in ("heading", "rule"):
            done += self._close()
            self._gap = kind == "heading"
        return done

    def _goes_on(self, block: Block, kind: Kind, line: str) -> bool:
        if kind == "paragraph":
            return block.kind in ("paragraph", "item", "quote")
        return kind == block.kind and kind in ("table", "quote")

    def _close(self) -> list[Block]:
        block, self._open, self._size = self._open, None, 0
        return [] if block is None else [block]


def _parts(line: str) -> list[str]:
    """The line in parts of at most `_LONG_LINE` characters, cut behind spaces where there are some."""
    parts = []
    while len(line) > _LONG_LINE:
        at = line.rfind(" ", 0, _LONG_LINE) + 1 or _LONG_LINE
        parts.append(line[:at])
        line = line[at:]
    return [*parts, line]


def _kind(line: str) -> tuple[Kind, str, str, int]:
    """Kind, text without markers, mark and indentation of a line that begins a block."""
    if found := _HEADING.match(line):
        return "heading", found[2], found[1], 0
    if _RULE.match(line):
        return "rule", "", "", 0
    if found := _ITEM.match(line):
        return "item", found[3], found[2], len(found[1])
    if found := _QUOTE.match(line):
        return "quote", found[1], "", 0
    if line.lstrip().startswith("|"):
        return "table", line.strip(), "", 0
    return "paragraph", line.strip(), "", min(len(line) - len(line.lstrip(" ")), 8)
