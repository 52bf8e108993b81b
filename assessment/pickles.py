"""What a pickle names, found by walking its opcodes: nothing is ever unpickled.

`walk(stream)` follows the opcodes with a stack that holds only names, short texts, numbers and small tuples, enough to
know which globals are asked for, which versions are noted, and how long the raw arrays are that joblib writes between
opcodes. Time and memory are bounded: opcodes, stack, memo and the length of what is kept all have limits, and the
bytes of long values are passed over.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

MAX_OPCODES = 2_000_000
MAX_STACK = 500_000
MAX_KEPT = 256  # characters of a text, or items of a tuple or dict, that are kept
MAX_LINE = 100_000
CHUNK = 8_192  # bytes taken from the stream at once
MAX_NESTING = 20  # object arrays inside object arrays
TORCH_MAGIC = 0x1950A86A20F9469CFC6C
VERSION_KEYS = {"_sklearn_version": "scikit-learn", "pytorch-lightning_version": "pytorch-lightning"}

_OPCODES = {op.code.encode("latin-1")[0]: op for op in pickletools.opcodes}
_MARK = object()
_TEXTS = frozenset(
    "SHORT_BINUNICODE BINUNICODE BINUNICODE8 UNICODE SHORT_BINSTRING BINSTRING STRING SHORT_BINBYTES".split()
)
_NUMBERS = frozenset("BININT BININT1 BININT2 LONG1 LONG4 INT LONG".split())
_PLACES = frozenset(("BINPUT", "BINGET", "LONG_BINPUT", "LONG_BINGET"))


class Stream(Protocol):
    """What a pickle is read from, forwards only."""

    def read(self, size: int, /) -> bytes: ...


@dataclass
class Found:
    """What the walk has met. `problem` says why it ended before the end, `limited` that only a limit ended it."""

    globals: set[str] = field(default_factory=set)  # "module.name", "?" for a part that is computed
    versions: dict[str, str] = field(default_factory=dict)  # distribution -> version noted in the file
    problem: str | None = None
    limited: bool = False
    opcodes: int = 0


@dataclass(eq=False)
class _Global:
    name: str


@dataclass(eq=False)
class _Object:
    """The result of calling a global: its name, arguments and state as far as they are kept."""

    name: str
    arguments: object = None
    state: object = None


class _Broken(Exception):
    pass


class _Limit(Exception):
    pass


def walk(stream: Stream) -> Found:
    """Walk a pickle file: one pickle or several, with the raw arrays of joblib and the tail of an old torch file."""
    found = Found()
    reader = _Reader(stream)
    try:
        first = _Machine(reader, found).run()
        if first == TORCH_MAGIC:
            for _ in range(4):  # protocol, system, the object itself, keys of the storages; then raw data
                _Machine(reader, found).run()
        else:
            while reader.peek() == b"\x80":
                _Machine(reader, found).run()
    except _Broken as error:
        found.problem = str(error)
    except _Limit as error:
        found.problem, found.limited = str(error), True
    return found


class _Reader:
    """Bytes of a stream from its start, taken from it in chunks: most opcodes are one byte long."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._ahead = b""
        self._at = 0  # where in `_ahead` the next byte is
        self._before = 0  # bytes that came before `_ahead`

    @property
    def position(self) -> int:
        return self._before + self._at

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        if self._at + size > len(self._ahead):
            self._fetch(size)
        start, self._at = self._at, self._at + size
        return self._ahead[start : self._at]

    def _fetch(self, wanted: int) -> None:
        """Make `_ahead` begin where the next byte is, with at least as many bytes as are wanted."""
        self._before += self._at
        parts, known = [self._ahead[self._at :]], len(self._ahead) - self._at
        self._ahead, self._at = b"", 0
        while known < wanted:
            try:
                more = self._stream.read(min(max(wanted - known, CHUNK), 1 << 20))
            except (OSError, EOFError, ValueError) as error:
                raise _Broken(f"the data cannot be read: {error}") from None
            if not more:
                raise _Broken("it ends in the middle")
            parts.append(more)
            known += len(more)
        self._ahead = b"".join(parts)

    def skip(self, size: int) -> None:
        """Pass over bytes without keeping them."""
        while size > 0:
            size -= len(self.read(min(size, 1 << 20)))

    def byte(self) -> int:
        """The next byte: most reads are of one."""
        if self._at == len(self._ahead):
            self._fetch(1)
        self._at += 1
        return self._ahead[self._at - 1]

    def line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            line += self.read(1)
            if len(line) > MAX_LINE:
                raise _Broken("a text without an end")
        return line[:-1]

    def peek(self) -> bytes:
        """The next byte, or none at the end."""
        if self._at == len(self._ahead):
            self._before += self._at
            try:
                self._ahead, self._at = self._stream.read(CHUNK), 0
            except (OSError, EOFError, ValueError):
                self._ahead, self._at = b"", 0
        return self._ahead[self._at : self._at + 1]


class _Machine:
    """Runs one pickle's opcodes over a stack of names instead of objects."""

    def __init__(self, reader: _Reader, found: Found, depth: int = 0) -> None:
        self.reader = reader
        self.found = found
        self.depth = depth
        self.stack: list[object] = []
        self.memo: dict[int, object] = {}

    def run(self) -> object:
        """Walk to STOP. The value on top of the stack, as far as it is known."""
        while True:
            self.found.opcodes += 1
            if self.found.opcodes > MAX_OPCODES:
                raise _Limit(f"more than {MAX_OPCODES:,} opcodes")
            code = self.reader.byte()
            op = _OPCODES.get(code)
            if op is None:
                raise _Broken(f"byte 0x{code:02x} at {self.reader.position - 1:,} is no pickle opcode")
            value = None if op.arg is None else self._argument(op.name, op.arg.n)
            if op.name == "STOP":
                return self.stack[-1] if self.stack else None
            step = _STEPS.get(op.name)
            if step is None:
                self._other(op)
            else:
                step(self, op.name, value)
            if len(self.stack) > MAX_STACK:
                raise _Limit("nested too deeply")

    def _argument(self, name: str, size: int) -> object:
        if size >= 0:
            raw = self.reader.read(size)
            if name in _PLACES:
                return int.from_bytes(raw, "little")
        elif size == pickletools.UP_TO_NEWLINE:
            raw = self.reader.line()
            if name in ("GLOBAL", "INST"):
                raw += b" " + self.reader.line()
        else:
            prefix = {pickletools.TAKEN_FROM_ARGUMENT1: 1, pickletools.TAKEN_FROM_ARGUMENT8U: 8}.get(size, 4)
            length = int.from_bytes(self.reader.read(prefix), "little")
            if length > MAX_KEPT:
                self.reader.skip(length)
                return None
            raw = self.reader.read(length)
        if name in _NUMBERS:
            return _number(name, raw)
        if name in ("PUT", "GET"):
            return int(raw) if re.fullmatch(rb"\d{1,18}", raw) else -1
        text = raw.decode("utf-8", "replace")
        return text.strip("'\"") if name == "STRING" else text

    def _recall(self, name: str, value: object) -> None:
        self.stack.append(self.memo.get(value) if isinstance(value, int) else None)

    def _remember(self, name: str, value: object) -> None:
        if not self.stack:
            raise _Broken("there is nothing to remember")
        index = len(self.memo) if name == "MEMOIZE" else value
        if len(self.memo) > MAX_STACK:
            raise _Limit("too many remembered values")
        if isinstance(index, int):
            self.memo[index] = self.stack[-1]

    def _mark(self, name: str, value: object) -> None:
        self.stack.append(_MARK)

    def _text(self, name: str, value: object) -> None:
        self.stack.append(value if isinstance(value, str) and len(value) <= MAX_KEPT else None)

    def _number(self, name: str, value: object) -> None:
        self.stack.append(value)

    def _truth(self, name: str, value: object) -> None:
        self.stack.append(name == "NEWTRUE")

    def _tuple(self, name: str, value: object) -> None:
        items = self._to_mark() if name == "TUPLE" else self._pop(int(name[-1]) if name[-1].isdigit() else 0)
        self.stack.append(tuple(items) if len(items) <= MAX_KEPT else None)

    def _dict(self, name: str, value: object) -> None:
        if name == "DICT":
            self._set_items(self._to_mark(), {})
        else:
            self.stack.append({})

    def _items(self, name: str, value: object) -> None:
        items = self._pop(2) if name == "SETITEM" else self._to_mark()
        (target,) = self._pop(1)
        self._set_items(items, target)

    def _call(self, name: str, value: object) -> None:
        called, arguments = self._pop(2)
        self.stack.append(_Object(called.name if isinstance(called, _Global) else "?", arguments))

    def _other(self, op: pickletools.OpcodeInfo) -> None:
        """Any other opcode, by what pickletools says of its effect on the stack."""
        before = list(op.stack_before)
        if pickletools.markobject in before:
            self._to_mark()
            before = before[: before.index(pickletools.markobject)]
        elif op.name == "POP" and self.stack and self.stack[-1] is _MARK:
            self.stack.pop()
            return
        kept = self._pop(len(before))
        if op.name in ("APPEND", "APPENDS", "ADDITEMS"):
            self.stack.append(kept[0])
        elif op.name == "DUP":
            self.stack.extend([kept[0], kept[0]])
        else:
            self.stack.extend([None] * len(op.stack_after))

    def _pop(self, count: int) -> list[object]:
        if count > len(self.stack):
            raise _Broken("an opcode takes more than there is")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def _to_mark(self) -> list[object]:
        for position in range(len(self.stack) - 1, -1, -1):
            if self.stack[position] is _MARK:
                taken = self.stack[position + 1 :]
                del self.stack[position:]
                return taken
        raise _Broken("an opcode needs a mark that is not there")

    def _global(self, name: str, value: object) -> None:
        if name == "STACK_GLOBAL":
            module, attribute = (part if isinstance(part, str) else "?" for part in self._pop(2))
            full = f"{module}.{attribute}"
        else:
            if name == "INST":
                self._to_mark()
            full = ".".join(str(value).split(" ", 1))
        if len(self.found.globals) < 10_000:
            self.found.globals.add(full)
        self.stack.append(_Object(full) if name == "INST" else _Global(full))

    def _set_items(self, items: list[object], target: object) -> None:
        for key, value in zip(items[::2], items[1::2], strict=False):
            if isinstance(key, str):
                if key in VERSION_KEYS and isinstance(value, str):
                    self.found.versions[VERSION_KEYS[key]] = value
                if isinstance(target, dict) and len(target) < MAX_KEPT:
                    target[key] = value
        self.stack.append(target)

    def _build(self, name: str, value: object) -> None:
        target, state = self._pop(2)
        if isinstance(target, _Object):
            target.state = state
        self.stack.append(target)
        if isinstance(target, _Object) and isinstance(state, dict):
            if target.name.endswith("numpy_pickle.NumpyArrayWrapper") or (
                isinstance(target.arguments, tuple)
                and target.arguments
                and isinstance(target.arguments[0], _Global)
                and target.arguments[0].name.endswith("numpy_pickle.NumpyArrayWrapper")
            ):
                self._skip_array(state)

    def _skip_array(self, state: dict[object, object]) -> None:
        """Pass over what joblib writes after an array's header: raw bytes, or a pickle for arrays of objects."""
        size, shape = _item_size(state.get("dtype")), state.get("shape")
        if not isinstance(shape, tuple) or not all(isinstance(n, int) and 0 <= n < 1 << 48 for n in shape):
            raise _Broken("an array without a shape")
        if size is None:
            raise _Broken("an array of a type that is not known")
        if size == 0:
            if self.depth >= MAX_NESTING:
                raise _Limit("arrays nested too deeply")
            _Machine(self.reader, self.found, self.depth + 1).run()
            return
        if "numpy_array_alignment_bytes" in state and state["numpy_array_alignment_bytes"] is not None:
            self.reader.skip(self.reader.read(1)[0])
        total = size
        for length in shape:
            assert isinstance(length, int)
            total *= length
        self.reader.skip(total)


_STEPS: dict[str, Callable[[_Machine, str, object], None]] = {
    name: step
    for names, step in (
        (("BINGET", "LONG_BINGET", "GET"), _Machine._recall),
        (("MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT"), _Machine._remember),
        (("MARK",), _Machine._mark),
        (_TEXTS, _Machine._text),
        (_NUMBERS, _Machine._number),
        (("NEWTRUE", "NEWFALSE"), _Machine._truth),
        (("GLOBAL", "STACK_GLOBAL", "INST"), _Machine._global),
        (("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_TUPLE"), _Machine._tuple),
        (("EMPTY_DICT", "DICT"), _Machine._dict),
        (("SETITEM", "SETITEMS"), _Machine._items),
        (("REDUCE", "NEWOBJ"), _Machine._call),
        (("BUILD",), _Machine._build),
    )
    for name in names
}  # any other opcode goes by what pickletools says of it


def _number(name: str, raw: bytes) -> int | bool | None:
    if name in ("INT", "LONG"):
        text = raw.rstrip(b"L")
        if text in (b"00", b"01"):
            return text == b"01"
        return int(text) if re.fullmatch(rb"-?\d{1,18}", text) else None
    return int.from_bytes(raw, "little", signed=name in ("BININT", "LONG1", "LONG4"))


def _item_size(dtype: object) -> int | None:
    """Bytes of one item of a numpy type; 0 for objects, which are pickled; None where it is not known."""
    if not isinstance(dtype, _Object) or not isinstance(dtype.arguments, tuple) or not dtype.arguments:
        return None
    match = re.fullmatch(r"[<>|=]?([a-zA-Z?])(\d+)", str(dtype.arguments[0]))
    if match is None:
        return None
    if match[1] == "O":
        return 0
    if isinstance(dtype.state, tuple) and match[1] == "V" and _holds_objects(dtype.state):
        return 0
    return int(match[2]) * (4 if match[1] == "U" else 1)


def _holds_objects(state: tuple[object, ...]) -> bool:
    """Whether a structured type has a field of objects."""
    fields = next((part for part in state if isinstance(part, dict)), {})
    inner = [value[0] for value in fields.values() if isinstance(value, tuple) and value]
    return any(_item_size(part) == 0 for part in inner)
