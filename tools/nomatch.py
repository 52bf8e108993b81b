"""Why an edit found nothing: the nearest text with its line numbers, and the likely cause in words.

Nothing is guessed into the file: the model gets what it needs to send the right edit.
"""

from __future__ import annotations

import difflib
import re

from ml_engineer.tools.textfile import shown
from ml_engineer.tools.truncate import clip_line

_SEARCHED = 20_000  # lines compared one by one; a longer file is compared by its exact lines only
_SHOWN = 12
_NUMBERED = re.compile(r"^ *\d+(?:\t|→)", re.MULTILINE)
_CURLY = str.maketrans("‘’“”\u00a0–—", "''\"\" --")


def explain(text: str, old: str, new: str) -> str:
    """One or two sentences and, where there is one, the nearest region. `old` does not occur in `text`."""
    carriage_returns = "\r" in old
    text, old, new = (part.replace("\r\n", "\n") for part in (text, old, new))
    if carriage_returns and old in text:
        return "It differs only in line endings. Send plain line breaks (\\n): they match whatever the file has."
    lines, wanted = text.removesuffix("\n").split("\n"), old.split("\n")
    if len(_NUMBERED.findall(old)) == len([line for line in wanted if line]):
        return "old_string begins its lines with line numbers, as Read shows them. Send the text after the tab only."
    if new.strip() and text.count(new) == 1 and len(new) > 3:
        line = text.count("\n", 0, text.index(new)) + 1
        return f"new_string is already there, at line {line}: the edit seems to be applied. Read the file to be sure."
    for key, cause in _CAUSES:
        at = _find_lines(lines, wanted, key)
        if at is not None:
            return f"{cause} Copy the text exactly as it is here:\n{_region(lines, at, len(wanted))}"
    if "\\n" in old and old.replace("\\n", "\n") in text:
        return "old_string holds a backslash and an n where the file has a line break. Send real line breaks."
    at = _nearest(lines, wanted)
    if at is None:
        return "Nothing in the file is like it. Use Grep to find the text, or Read the file again."
    return f"The nearest text is:\n{_region(lines, at, len(wanted))}"


def _indentation(line: str) -> str:
    return line.strip()


_CAUSES = (
    (str.rstrip, "It differs only in white space at line ends."),
    (str.expandtabs, "It differs only in tabs and spaces."),
    (_indentation, "It differs only in white space at the beginning or end of lines (tabs, spaces or indentation)."),
    (lambda line: " ".join(line.split()), "It differs only in white space."),
    (lambda line: line.translate(_CURLY), "It differs only in quotation marks, dashes or no-break spaces."),
)


def _find_lines(lines: list[str], wanted: list[str], key: object) -> int | None:
    """Index of the first line where all of `wanted` match after `key` was applied to both; blank ends are ignored."""
    assert callable(key)
    target = [key(line) for line in wanted]
    skipped = 0
    while target and not target[0]:
        target.pop(0)
        skipped += 1
    while target and not target[-1]:
        target.pop()
    if not target:
        return None
    keyed = [key(line) for line in lines]
    single = len(target) == 1
    for at, line in enumerate(keyed):
        found = target[0] in line if single else keyed[at : at + len(target)] == target
        if found:
            return max(0, at - skipped)
    return None


def _nearest(lines: list[str], wanted: list[str]) -> int | None:
    """Where the longest line of `wanted` has its best likeness, shifted to where the whole would begin."""
    position, anchor = max(enumerate(wanted), key=lambda item: len(item[1].strip()))
    anchor = anchor.strip()
    if not anchor:
        return None
    matcher = difflib.SequenceMatcher(b=anchor, autojunk=False)
    best, at = 0.6, None
    for number, line in enumerate(lines[:_SEARCHED]):
        line = line.strip()
        if line == anchor:
            return max(0, number - position)
        if not 0.5 < (len(line) + 1) / (len(anchor) + 1) < 2 or len(line) > 500:
            continue
        matcher.set_seq1(line)
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best and (ratio := matcher.ratio()) > best:
            best, at = ratio, number
    return None if at is None else max(0, at - position)


def _region(lines: list[str], at: int, count: int) -> str:
    """Lines around `at`, numbered as Read numbers them; tabs stay tabs."""
    first = max(0, at - 1)
    stop = min(len(lines), at + min(count, _SHOWN) + 1)
    return "\n".join(f"{n + 1}\t{clip_line(shown(lines[n]), 300)}" for n in range(first, stop))
