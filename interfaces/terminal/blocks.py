"""Blocks of Markdown in rich: headings, paragraphs, lists, quotes, tables and code, wrapped to the width.

Links are shown with their address: a terminal's own links would hide where they lead. HTML is shown as it stands.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.rule import Rule
from rich.style import Style
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from ml_engineer.interfaces.terminal.markdown import Block
from ml_engineer.report.visible import visible

_CODE = "cyan"
_OPENING = {"strong_open": "bold", "em_open": "italic", "s_open": "strike", "link_open": "underline"}
_READABLE = 16  # columns in which a longer cell can still be read
_parser = MarkdownIt("commonmark").enable("strikethrough")


class Hanging:
    """Text behind a mark; further lines start under the text."""

    def __init__(self, mark: Text, text: Text, indent: int = 0) -> None:
        self.mark, self.text, self.indent = mark, text, indent

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = max(8, options.max_width - self.indent - self.mark.cell_len)
        for at, line in enumerate(self.text.wrap(console, room, overflow="fold")):
            line.rstrip()
            yield Text.assemble(" " * self.indent, self.mark if at == 0 else " " * self.mark.cell_len, line)


class Barred:
    """Text with a bar down its left side."""

    def __init__(self, text: Text, bar: str = "▌ ", style: str = "dim") -> None:
        self.text, self.bar, self.style = text, bar, style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.text.wrap(console, max(8, options.max_width - len(self.bar)), overflow="fold"):
            line.rstrip()
            yield Text.assemble((self.bar, self.style), line)


def renderables(blocks: Iterable[Block]) -> Iterator[RenderableType]:
    """What rich can print, one after the other. Lines of code that follow one another are coloured together."""
    code: list[Block] = []
    for block in blocks:
        if code and (block.kind != "code" or block.gap or block.mark != code[0].mark):
            yield _code(code)
            code = []
        if block.gap:
            yield Text()
        if block.kind == "code":
            code.append(block)
        else:
            yield _one(block)
    if code:
        yield _code(code)


def _one(block: Block) -> RenderableType:
    match block.kind:
        case "heading":
            return inline(block.text, "bold underline" if len(block.mark) == 1 else "bold")
        case "item":
            mark = "•" if block.mark in "-*+•" else visible(block.mark)
            return Hanging(Text(f"{mark} ", "bold"), inline(block.text), min(block.indent, 12))
        case "quote":
            return Barred(inline(block.text, "italic"))
        case "table":
            return _table(block.text)
        case "rule":
            return Rule(style="dim")
        case _:
            return Hanging(Text(), inline(block.text), block.indent)


def inline(text: str, style: str = "") -> Text:
    """A run of text with its emphasis, code and links."""
    shown = Text(style=style, overflow="fold")
    styles: list[str] = []
    addresses: list[str] = []
    for token in _inline_tokens(visible(text)):
        if token.type in _OPENING:
            styles.append(_OPENING[token.type])
            if token.type == "link_open":
                addresses.append(str(token.attrs.get("href", "")))
        elif token.type.endswith("_close"):
            styles.pop()
            if token.type == "link_close":
                address = visible(addresses.pop())
                if not shown.plain.endswith(address):
                    shown.append(f" ({address})", "dim")
        elif token.type in ("softbreak", "hardbreak"):
            shown.append(" " if token.type == "softbreak" else "\n")
        elif token.type == "image":
            shown.append(f"[{visible(token.content)}] ({visible(str(token.attrs.get('src', '')))})", "dim")
        else:
            styled = [*styles, _CODE] if token.type == "code_inline" else styles
            shown.append(visible(token.content), _combined(tuple(styled)))
    return shown


def _inline_tokens(text: str) -> list[Token]:
    return [child for token in _parser.parseInline(text) for child in token.children or []]


@functools.cache
def _combined(styles: tuple[str, ...]) -> Style:
    return Style.parse(" ".join(styles))


def _code(blocks: list[Block]) -> RenderableType:
    text = visible("\n".join(block.text for block in blocks))
    return Hanging(Text("  "), highlighted(text, blocks[0].mark), blocks[0].indent)


def highlighted(code: str, language: str) -> Text:
    """Code in the terminal's own sixteen colours; as it is where the language is not known."""
    if not language:
        return Text(code)
    text = Syntax(code, language, theme="ansi_dark", background_color="default").highlight(code)
    text.rstrip()
    text.no_wrap = False  # a line that is too long goes on in the next one
    return text


# --- tables -----------------------------------------------------------------------------------------------------------


class _Rows:
    """Columns where there is room for them, else a block of `head: value` lines for each row."""

    def __init__(self, head: list[Text], rows: list[list[Text]]) -> None:
        self.head, self.rows = head, rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = self._widths()
        if sum(min(width, _READABLE) + 3 for width in widths) > options.max_width:
            yield from self._stacked()
            return
        headed = any(cell.plain for cell in self.head)
        table = Table(box=box.SIMPLE_HEAD, show_header=headed, pad_edge=False, show_edge=False)
        for at in range(len(widths)):
            last = at == len(widths) - 1
            most = None if last else max(_READABLE, options.max_width * 2 // 5)
            table.add_column(self.head[at] if at < len(self.head) else "", overflow="fold", max_width=most)
        for row in self.rows:
            table.add_row(*row)
        yield table

    def _widths(self) -> list[int]:
        """Of the longest cell of each column, in columns of the terminal."""
        widths = [cell.cell_len for cell in self.head]
        for row in self.rows:
            widths += [0] * (len(row) - len(widths))
            for at, cell in enumerate(row):
                widths[at] = max(widths[at], cell.cell_len)
        return widths

    def _stacked(self) -> Iterator[RenderableType]:
        for number, row in enumerate(self.rows):
            if number:
                yield Text()
            for at, cell in enumerate(row):
                head = self.head[at].plain if at < len(self.head) else ""
                yield Hanging(Text(f"{head}: " if head else "", "dim"), cell)


def rows(head: Iterable[str], body: Iterable[Iterable[str]]) -> Any:
    """A table of plain cells, made visible."""
    return _Rows([Text(visible(cell)) for cell in head], [[Text(visible(cell)) for cell in row] for row in body])


def _table(text: str) -> RenderableType:
    lines = [_cells(line) for line in text.split("\n")]
    ruled = len(lines) > 1 and all(set(cell.strip()) <= set("-: ") and cell.strip() for cell in lines[1])
    head, body = (lines[0], lines[2:]) if ruled else ([], lines)
    return _Rows([inline(cell) for cell in head], [[inline(cell) for cell in row] for row in body])


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|").removesuffix("|").replace("\\|", "\0")
    return [cell.strip().replace("\0", "|") for cell in inner.split("|")]
