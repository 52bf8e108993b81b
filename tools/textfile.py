"""Bytes to text and back, so that what is not edited comes back as the very same bytes.

    decode(raw) -> TextFile(text, encoding, errors, bom); TextFile.encode(text) -> bytes

UTF-8 where it can be; UTF-16 with its mark; UTF-8 with stray bytes (kept as surrogates); else Latin-1, in which every
byte is a character. Line endings stay in `text`. What holds a NUL byte is binary and is not text at all.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

_SNIFFED = 8192
_MARKS = (  # the longer mark first: a UTF-32 mark begins like the one of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class TextFile:
    text: str
    encoding: str
    errors: str = "strict"
    bom: bytes = b""

    @property
    def newline(self) -> str:
        """The line ending most used, "\\n" when there is none."""
        crlf = self.text.count("\r\n")
        return "\r\n" if crlf * 2 > self.text.count("\n") else "\n"

    @property
    def mixed_newlines(self) -> bool:
        crlf = self.text.count("\r\n")
        return 0 < crlf < self.text.count("\n")

    @property
    def label(self) -> str:
        """The encoding in words, for messages; empty for plain UTF-8."""
        if self.errors == "surrogateescape":
            return "UTF-8 with invalid bytes"
        mark = " with byte order mark" if self.bom else ""
        return "" if self.encoding == "utf-8" and not mark else f"{self.encoding.upper()}{mark}"

    def encode(self, text: str) -> bytes:
        """`text` in this file's encoding, mark included. Raises UnicodeEncodeError for a character it cannot hold."""
        return self.bom + text.encode(self.encoding, self.errors)


def is_binary(raw: bytes) -> bool:
    """Whether the beginning holds a NUL byte, as git decides it; UTF-16 with its mark is text."""
    return b"\0" in raw[:_SNIFFED] and not raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def decode(raw: bytes) -> TextFile | None:
    """The file's text, or None when the bytes are no text."""
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return _decode_marked(raw, mark, encoding)
    if is_binary(raw):
        return None
    try:
        return TextFile(raw.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        text = raw.decode("utf-8", "surrogateescape")
    # Valid multi-byte characters beside the bad bytes mean UTF-8 with damage; none at all means a one-byte encoding.
    if re.search(r"[\u0080-\ud7ff\ue000-\U0010ffff]", text):
        return TextFile(text, "utf-8", "surrogateescape")
    return TextFile(raw.decode("latin-1"), "latin-1")


def _decode_marked(raw: bytes, mark: bytes, encoding: str) -> TextFile | None:
    body = raw[len(mark) :]
    try:
        return TextFile(body.decode(encoding), encoding, bom=mark)
    except UnicodeDecodeError:
        if encoding == "utf-8":
            return TextFile(body.decode(encoding, "surrogateescape"), encoding, "surrogateescape", mark)
        return None  # half a UTF-16 character cannot be written back as it was


def shown(text: str) -> str:
    """`text` as it can be sent to a model: bytes that are no characters become U+FFFD."""
    return re.sub(r"[\ud800-\udfff]", "\ufffd", text)
