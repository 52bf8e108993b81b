"""Sealing: the digest is taken over the content alone, a file is written whole, and an alteration shows."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ml_engineer.report.atomic import write_atomic
from ml_engineer.report.schema import Report
from ml_engineer.report.seal import ReportError, canonical_json, digest, load, save, seal


@pytest.fixture
def sealed(report: Report) -> Report:
    return seal(report)


def test_a_sealed_report_comes_back_as_it_was(sealed: Report, tmp_path: Path) -> None:
    save(sealed, tmp_path / "report.json")
    assert load(tmp_path / "report.json") == sealed
    assert len(sealed.digest) == 64


def test_the_digest_stands_for_the_content_and_not_for_the_form(sealed: Report, tmp_path: Path) -> None:
    data = json.loads(sealed.to_json())
    compact = json.dumps(dict(reversed(data.items())), ensure_ascii=True)
    (tmp_path / "report.json").write_text(compact)
    assert load(tmp_path / "report.json").digest == sealed.digest


def test_sealing_twice_gives_the_same_digest(sealed: Report) -> None:
    assert seal(sealed) == sealed
    assert digest(sealed) == sealed.digest


def test_canonical_json_is_sorted_compact_and_without_the_digest(sealed: Report) -> None:
    data = json.loads(canonical_json(sealed))
    assert list(data) == sorted(data)
    assert data["digest"] == ""
    assert b'": ' not in canonical_json(sealed.model_copy(update={"findings": []})).replace(b'\\": ', b"")


def test_a_whole_number_in_a_field_of_floats_seals_as_it_loads(report: Report, tmp_path: Path) -> None:
    score = report.score.model_copy(update={"ml_test_score": 0})
    save(seal(report.model_copy(update={"score": score})), tmp_path / "report.json")
    assert load(tmp_path / "report.json").score.ml_test_score == 0


def test_what_json_cannot_carry_is_told_when_sealing(report: Report) -> None:
    score = report.score.model_copy(update={"ml_test_score": float("nan")})
    with pytest.raises(ReportError, match=r"cannot be sealed: score\.ml_test_score"):
        seal(report.model_copy(update={"score": score}))
    repository = report.repository.model_copy(update={"name": "\ud800"})
    with pytest.raises(ReportError, match="cannot be sealed"):
        seal(report.model_copy(update={"repository": repository}))


def test_an_altered_report_is_refused(sealed: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(sealed.to_json().replace("Flask debugger is on", "Flask debugger is off"))
    with pytest.raises(ReportError, match="was altered after it was sealed"):
        load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "is not JSON", id="empty"),
        pytest.param("[" * 100_000, "is not JSON", id="nested too deeply"),
        pytest.param("[]", "no schema_version", id="another document"),
        pytest.param('{"a": 1}', "no schema_version", id="another object"),
        pytest.param('{"schema_version": "9.0"}', "has report schema '9.0', this version reads '1.0'", id="newer"),
        pytest.param('{"schema_version": "1.0"}', "not a valid report: tool: Field required", id="incomplete"),
    ],
)
def test_what_is_no_report_is_refused_in_words(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ReportError) as refused:
        load(path)
    assert message in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_report_that_was_never_sealed_is_refused(report: Report, tmp_path: Path) -> None:
    save(report, tmp_path / "report.json")
    with pytest.raises(ReportError, match="is not sealed"):
        load(tmp_path / "report.json")


def test_a_missing_file_and_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"cannot read .*No such file"):
        load(tmp_path / "report.json")
    (tmp_path / "report.json").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(ReportError, match="is not JSON"):
        load(tmp_path / "report.json")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.json"
    write_atomic(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_replaces_the_file_and_makes_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.json"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]
