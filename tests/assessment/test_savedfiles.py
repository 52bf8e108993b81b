import gzip
import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_engineer.assessment import pickles, savedfiles
from ml_engineer.assessment.pickles import CHUNK
from ml_engineer.assessment.repo import Repo


class Runs:
    """Unpickling an instance's pickle would run a command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def text(value):
    data = value.encode()
    return b"\x8c" + bytes([len(data)]) + data


def number(value):
    return b"J" + struct.pack("<i", value)


def wrapper(dtype, shape, aligned=False):
    """Opcodes with which joblib announces an array of a type and shape."""
    made = b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}("
    made += text("dtype") + b"cnumpy\ndtype\n" + text(dtype) + b"\x89\x88\x87R"
    made += text("shape") + b"(" + b"".join(map(number, shape)) + b"t"
    if aligned:
        made += text("numpy_array_alignment_bytes") + number(16)
    return made + b"ub"


@pytest.fixture
def artefact(tmp_path):
    def make(name, data):
        (tmp_path / name).write_bytes(data)
        found = {a.path: a for a in Repo.open(tmp_path).artefacts}
        return found.get(name)

    return make


@pytest.mark.parametrize("protocol", range(6))
def test_globals_and_versions_are_found_in_every_protocol(artefact, protocol):
    value = [OrderedDict(a=1), {"_sklearn_version": "1.2.1", "x": ("y" * 500, 2**70, None, 1.5, b"z" * 300)}, {1, 2}]
    found = artefact("m.pkl", pickle.dumps(value, protocol))
    assert (found.format, found.problem) == ("pickle", None)
    assert "collections.OrderedDict" in found.globals
    assert found.versions == {"scikit-learn": "1.2.1"}


@pytest.mark.parametrize("protocol", range(6))
def test_a_dangerous_pickle_is_read_and_not_run(artefact, tmp_path, protocol):
    mark = tmp_path / "mark"
    found = artefact("m.pkl", pickle.dumps(Runs(f"touch {mark}"), protocol))
    assert found.globals == {f"{os.name}.system"}
    assert not mark.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_values_may_lie_across_the_chunks_that_are_read(artefact, protocol):
    value = [[("x" * size, float(size), size) for size in range(200)], OrderedDict(a=1)]
    data = pickle.dumps(value, protocol)
    assert len(data) > 2 * CHUNK
    found = artefact("m.pkl", data)
    assert (found.problem, found.globals) == (None, {"collections.OrderedDict"})


def test_a_global_named_through_the_memo_is_found(artefact):
    data = b"\x80\x04" + text("os") + b"\x94" + text("system") + b"\x94" + b"00" + b"h\x00h\x01\x93."
    assert artefact("m.pkl", data).globals == {"os.system"}


def test_a_computed_global_is_marked(artefact):
    assert artefact("m.pkl", b"\x80\x04N" + text("x") + b"\x93.").globals == {"?.x"}


@pytest.mark.parametrize("aligned", [False, True])
def test_raw_arrays_of_joblib_are_passed_over(artefact, aligned):
    padding = b"\x03\xff\xff\xff" if aligned else b""
    data = b"\x80\x04(" + wrapper("f8", (2, 3), aligned) + padding + os.urandom(48)
    data += wrapper("U2", (2,), aligned) + padding + b"\xff" * 16 + b"cafter\nall\nt."
    found = artefact("m.joblib", data)
    assert (found.format, found.problem) == ("joblib", None)
    assert "after.all" in found.globals


def test_an_array_of_objects_holds_a_pickle_of_its_own(artefact):
    data = b"\x80\x04(" + wrapper("O8", (2,)) + pickle.dumps(Runs("x"), 2) + b"cafter\nall\nt."
    assert {f"{os.name}.system", "after.all"} <= artefact("m.joblib", data).globals


@pytest.mark.parametrize("pack", [zlib.compress, gzip.compress])
def test_packed_files_are_read(artefact, pack):
    found = artefact("m.joblib", pack(pickle.dumps(OrderedDict(), 4)))
    assert (found.problem, found.globals) == (None, {"collections.OrderedDict"})


def test_old_torch_files_end_in_raw_data(artefact):
    parts = [pickles.TORCH_MAGIC, 1001, {"little_endian": True}, OrderedDict(), []]
    data = b"".join(pickle.dumps(part, 2) for part in parts) + b"\x80\x02\x00\x00\xff\xff"
    assert artefact("m.pt", data).problem is None


def archive(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return buffer.getvalue()


def test_torch_archives_are_read_by_their_pickle(artefact):
    found = artefact("m.pt", archive({"m/data.pkl": pickle.dumps(OrderedDict(), 2), "m/data/0": b"\x00" * 9}))
    assert (found.format, found.globals) == ("torch-zip", {"collections.OrderedDict"})


def test_keras_archives_say_version_and_code(artefact):
    layer = {"class_name": "Lambda", "config": {"function": {"class_name": "__lambda__", "config": {"code": "4wE"}}}}
    members = {"config.json": json.dumps({"layers": [layer]}), "metadata.json": '{"keras_version": "3.1.0"}'}
    found = artefact("m.keras", archive(members))
    assert (found.versions, found.lambdas) == ({"keras": "3.1.0"}, True)
    named = json.dumps({"class_name": "Lambda", "config": {"function": {"class_name": "function", "config": "relu"}}})
    assert artefact("n.keras", archive({"config.json": named})).lambdas is False


def test_keras_version_of_hdf5_inline_and_in_the_heap(artefact):
    start = b"\x89HDF\r\n\x1a\n" + b"\0" * 24
    inline = start + b"keras_version\0" + b"\0" * 20 + b"2.2.4" + b"\0" * 40
    assert artefact("a.h5", inline).versions == {"keras": "2.2.4"}
    heap = b"GCOL\x01\0\0\0" + struct.pack("<Q", 64) + struct.pack("<HHIQ", 2, 0, 0, 5) + b"2.1.5\0\0\0" + b"\0" * 64
    name = b"keras_version\0\0\0" + b"\x19\x01\0\0\x10\0\0\0" + struct.pack("<LQL", 5, 200, 2)
    data = (start + name).ljust(200, b"\0") + heap
    assert artefact("b.h5", data).versions == {"keras": "2.1.5"}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x80\x04\x95", "ends in the middle"),
        (b"\x80\x04" + text("x"), "ends in the middle"),
        (b"\x80\x04\xff.", "no pickle opcode"),
        (b"\x80\x04R.", "takes more than there is"),
        (b"\x80\x04t.", "a mark that is not there"),
        (b"\x80\x04\x94.", "nothing to remember"),
        (b"\x80\x04\x8e" + b"\xff" * 8 + b"abc", "ends in the middle"),
        (b"hello, this is no model\n" * 9, "something else"),
    ],
)
def test_what_cannot_be_read_is_said(artefact, data, told):
    assert told in artefact("m.pkl", data).problem


def test_limits_end_the_walk(artefact, monkeypatch):
    monkeypatch.setattr(pickles, "MAX_OPCODES", 1000)
    assert artefact("m.pkl", b"\x80\x04" + b"N0" * 2000 + b"N.").limited
    monkeypatch.setattr(pickles, "MAX_OPCODES", 10**6)
    monkeypatch.setattr(pickles, "MAX_STACK", 1000)
    assert artefact("n.pkl", b"\x80\x04" + b"N" * 2000 + b".").limited


def test_a_packing_bomb_is_not_unfolded(artefact, monkeypatch):
    monkeypatch.setattr(savedfiles, "MAX_READ", 1_000_000)
    data = b"\x80\x04\x8e" + struct.pack("<Q", 50_000_000) + b"\0" * 50_000_000 + b"."
    assert "more than" in artefact("m.pkl", zlib.compress(data)).problem
    assert "more than" in artefact("m.pt", archive({"m/data.pkl": data})).problem


def test_an_archive_with_an_endless_directory_is_refused(artefact, monkeypatch):
    monkeypatch.setattr(savedfiles, "MAX_DIRECTORY", 1000)
    assert "directory" in artefact("m.pt", archive({f"m/{n}": b"" for n in range(100)})).problem


def test_pointers_and_texts_are_no_models(artefact):
    assert artefact("m.pkl", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n").format == "lfs"
    assert artefact("notes.model", b"just words\n" * 20) is None
    assert artefact("empty.pkl", b"") is None


@given(st.binary(max_size=300), st.sampled_from([b"", b"\x80\x04", b"\x80\x02(", b"(dp0\n"]))
def test_no_bytes_can_break_the_walk(data, start):
    found = pickles.walk(io.BytesIO(start + data))
    assert found.opcodes <= len(start + data) + 10


@given(st.data())
def test_a_damaged_pickle_is_walked_or_refused(data):
    whole = pickle.dumps(
        [OrderedDict(a=[1, "x", (2, 3)]), {"k": {1}, "_sklearn_version": "1"}], data.draw(st.integers(0, 5))
    )
    position = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:position] + bytes([data.draw(st.integers(0, 255))]) + whole[position + 1 :]
    assert pickles.walk(io.BytesIO(damaged)).opcodes > 0
