"""Two batches: which repositories are the same, which findings are, and what is said where one cannot know."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_engineer.interfaces.batch.compare import (
    RULES_CHANGED,
    CompareError,
    Earlier,
    as_text,
    compare,
    headline,
    read_earlier,
)
from ml_engineer.interfaces.batch.summary import Comparison, Difference, Fault, Row, Summary, findings_csv
from tests.interfaces.batch.conftest import Batch
from tests.interfaces.batch.material import Faults, failed, fault, row, score, summary_of

Many = Callable[[int], list[Path]]
Side = list[tuple[Row, list[Fault]]]


def by_folder(side: Side) -> Faults:
    return {one.folder: found for one, found in side if found}


def compared(before: Side, now: Side) -> Comparison:
    earlier = Earlier("d" * 64, summary_of([one for one, _ in before], by_folder(before)), by_folder(before))
    return compare(earlier, [one for one, _ in now], by_folder(now))


def changes(found: Comparison) -> list[tuple[str, str, str]]:
    return [(one.name, change.kind, change.place) for one in found.repositories for change in one.changes]


def states(found: Comparison) -> dict[str, str]:
    return {one.name: one.state for one in found.repositories}


# --- findings ---------------------------------------------------------------------------------------------------------


def test_findings_are_new_fixed_or_moved() -> None:
    before = [fault("same"), fault("gone", path="old.py"), fault("up", line=3), fault("away", path="a.py")]
    now = [fault("same"), fault("up", line=9), fault("away", path="b.py"), fault("fresh", path="new.py", line=1)]
    found = compared([(row("a", before), before)], [(row("a", now), now)])
    assert changes(found) == [
        ("a", "moved", "app.py:9"), ("a", "moved", "b.py:3"), ("a", "new", "new.py:1"), ("a", "fixed", "old.py:3"),
    ]  # fmt: skip
    assert [change.was for change in found.repositories[0].changes] == ["app.py:3", "a.py:3", "", ""]
    assert (found.new, found.fixed, found.moved) == (1, 1, 2)
    assert found.new_by_severity["high"] == 1


def test_a_cell_of_a_notebook_is_a_place() -> None:
    before, now = [fault(path="a.ipynb", cell=1)], [fault(path="a.ipynb", cell=2)]
    found = compared([(row("a", before), before)], [(row("a", now), now)])
    assert changes(found) == [("a", "moved", "a.ipynb[cell 2]:3")]


def test_a_path_is_said_as_it_is_and_not_as_a_spreadsheet_needs_it() -> None:
    now = [fault(path="@scope/app.py")]
    assert changes(compared([(row("a"), [])], [(row("a", now), now)])) == [("a", "new", "@scope/app.py:3")]


def test_a_fingerprint_that_stands_twice_is_two_findings() -> None:
    before, now = [fault(), fault()], [fault()]
    assert changes(compared([(row("a", before), before)], [(row("a", now), now)])) == [("a", "fixed", "app.py:3")]
    assert changes(compared([(row("a", now), now)], [(row("a", before), before)])) == [("a", "new", "app.py:3")]


def test_the_same_finding_in_another_repository_is_another() -> None:
    found = compared(
        [(row("a", [fault()]), [fault()]), (row("b"), [])], [(row("a"), []), (row("b", [fault()]), [fault()])]
    )
    assert sorted(changes(found)) == [("a", "fixed", "app.py:3"), ("b", "new", "app.py:3")]


FINGERPRINTS = st.lists(st.sampled_from("abcdefgh"), unique=True)


@settings(max_examples=50)
@given(before=FINGERPRINTS, now=FINGERPRINTS)
def test_new_and_fixed_are_what_sets_say(before: list[str], now: list[str]) -> None:
    old, new = [fault(one) for one in before], [fault(one) for one in now]
    found = compared([(row("a", old), old)], [(row("a", new), new)])
    assert (found.new, found.fixed, found.moved) == (len(set(now) - set(before)), len(set(before) - set(now)), 0)
    back = compared([(row("a", new), new)], [(row("a", old), old)])
    assert (back.new, back.fixed) == (found.fixed, found.new)
    assert compared([(row("a", old), old)], [(row("a", old), old)]).repositories == []


# --- repositories -----------------------------------------------------------------------------------------------------


def test_repositories_come_and_go_and_their_findings_are_not_counted() -> None:
    found = compared([(row("a"), []), (row("old", [fault()]), [fault()])], [(row("a"), []), (row("b"), [])])
    assert states(found) == {"b": "came", "old": "went"}
    assert (found.compared, found.came, found.went, found.fixed) == (1, 1, 1, 0)


def test_a_repository_is_known_by_its_place_then_by_its_name() -> None:
    pinned = compared([(row("a", folder="a-11111111"), [])], [(row("a", folder="a-22222222"), [])])
    assert (pinned.compared, states(pinned)) == (1, {})
    elsewhere = compared(
        [(row("a", folder="a-11111111", place="/x/a"), [])], [(row("a", folder="a-22222222", place="/y/a"), [])]
    )
    assert elsewhere.compared == 1
    two = [(row("a", folder=f"a-{n}", place=f"/x{n}/a"), []) for n in range(4)]
    assert states(compared(two[:2], two[2:])) == {"a": "went"}
    assert compared(two[:2], two[2:]).compared == 0


def test_where_there_is_no_report_nothing_is_fixed() -> None:
    found = compared([(row("a", [fault()]), [fault()])], [(failed("a", "it was killed"), [])])
    assert (found.fixed, found.compared, found.unknown) == (0, 0, 1)
    assert found.repositories[0].error == "failed now: it was killed"
    back = compared([(failed("a"), [])], [(row("a", [fault()]), [fault()])])
    assert (back.new, back.repositories[0].error) == (0, "failed in the earlier batch: it cannot be fetched")


def test_a_partial_coverage_is_said() -> None:
    found = compared([(row("a", [fault()]), [fault()])], [(row("a", state="partial"), [])])
    assert found.repositories[0].partial
    assert "fixed may only be unseen" in as_text(found)


def test_scores_that_changed_are_said() -> None:
    before = row("a", readiness=40, ml_test_score=0.5, steps=[score(5, 30), score(7, None), score(8, 10)])
    now = row("a", readiness=55, ml_test_score=1.0, steps=[score(5, 60), score(7, 20), score(8, 10)])
    found = compared([(before, [])], [(now, [])])
    (one,) = found.repositories
    assert (one.readiness, one.ml_test_score, one.steps) == ((40, 55), (0.5, 1.0), {5: (30, 60), 7: (None, 20)})
    assert found.readiness == (40, 55)
    assert "a: readiness 40 % → 55 %, ML Test Score 0.5 → 1, step 5 30 % → 60 %, step 7 – → 20 %" in as_text(found)


def test_the_mean_is_over_what_was_compared() -> None:
    before = [(row("a", readiness=40), []), (row("old", readiness=0), [])]
    assert compared(before, [(row("a", readiness=50), []), (row("new", readiness=100), [])]).readiness == (40, 50)


def test_other_rules_are_said() -> None:
    assert not compared([(row("a"), [])], [(row("a"), [])]).rules_changed
    found = compared([(row("a"), [])], [(row("a", rules_version="r2"), [])])
    assert found.rules_changed
    assert "rules are others" in as_text(found)


def test_the_worst_repository_comes_first() -> None:
    two, one = [fault("f1"), fault("f2")], [fault("f3")]
    found = compared(
        [(row(name), []) for name in "abc"],
        [(row("a", one), one), (row("b", two), two), (failed("c"), []), (row("d"), [])],
    )
    assert [difference.name for difference in found.repositories] == ["c", "b", "a", "d"]
    assert headline(found).startswith("2 repositories compared: 3 new, 0 fixed, 0 moved")
    assert "1 repository came; 1 repository could not be compared" in headline(found)


def test_hostile_text_stays_on_its_line() -> None:
    bad = fault(title="a\x1b[31m\nb", path="x\ny.py")
    before, now = row("a\n\x1b]0;"), row("a\n\x1b]0;", [bad])
    text = as_text(compared([(before, [])], [(now, [bad])]))
    assert "\x1b" not in text
    assert len(text.splitlines()) == 4
    assert "MLE0506  a\\x1b[31m b  x y.py:3" in text


# --- what an earlier batch has left -----------------------------------------------------------------------------------


def write(folder: Path, side: Side) -> Path:
    folder.mkdir()
    summary = summary_of([one for one, _ in side], by_folder(side))
    (folder / "summary.json").write_text(summary.to_json())
    (folder / "findings.csv").write_text("".join(findings_csv(summary.repositories, by_folder(side))))
    return folder


@settings(max_examples=40)
@given(path=st.text(max_size=12), title=st.text(max_size=12))
def test_what_is_read_back_has_not_moved(tmp_path_factory: pytest.TempPathFactory, path: str, title: str) -> None:
    found = [fault("f1", path=path, title=title), fault("f2", path=path, line=None, cell=None)]
    side = [(row("=a", found), found)]
    folder = write(tmp_path_factory.mktemp("old") / "batch", side)
    for where in (folder, folder / "summary.json"):
        earlier = read_earlier(where)
        assert len(earlier.faults[side[0][0].folder]) == 2
        assert compare(earlier, [side[0][0]], by_folder(side)).repositories == []


def test_what_is_no_batch_is_refused(tmp_path: Path) -> None:
    def said(folder: Path) -> str:
        with pytest.raises(CompareError) as caught:
            read_earlier(folder)
        return str(caught.value)

    assert "there is no earlier batch" in said(tmp_path / "none")
    folder = write(tmp_path / "batch", [(row("a", [fault()]), [fault()])])
    lines = (folder / "findings.csv").read_text()
    (folder / "findings.csv").write_text(lines.splitlines()[0] + "\n")
    assert "not of the same batch" in said(folder)
    (folder / "findings.csv").write_text(lines.replace("fingerprint", "print"))
    assert "column 'fingerprint' is missing" in said(folder)
    (folder / "findings.csv").write_text(lines.replace("high", "worst", 1))
    assert "not what a batch has written" in said(folder)
    (folder / "findings.csv").write_bytes(b"\xff\xfe")
    assert "not what a batch has written" in said(folder)
    (folder / "findings.csv").write_text(lines)
    data = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(data | {"future": 1}))
    assert "future: Extra inputs" in said(folder)
    (folder / "findings.csv").unlink()
    assert "findings.csv: there is no earlier batch" in said(folder)


# --- the command ------------------------------------------------------------------------------------------------------


def summary_in(out: Path) -> Summary:
    return Summary.model_validate_json((out / "summary.json").read_bytes())


def test_a_batch_says_what_is_new_fixed_and_moved(batch: Batch, many: Many, tmp_path: Path, out: Path) -> None:
    roots = many(4)
    batch(*roots[:3], into=tmp_path / "old")
    app = roots[0] / "app.py"
    app.write_text("# a line more\n" + app.read_text())
    app = roots[1] / "app.py"
    app.write_text(app.read_text().replace("debug=True", "debug=False"))
    (roots[2] / "load.py").write_text("import pickle\n\nmodel = pickle.load(open('m.pkl', 'rb'))\n")
    result = batch(*roots, "--compare", tmp_path / "old")
    assert result.exit_code == 0, result.stderr
    found = summary_in(out).comparison
    assert found is not None
    by_name: dict[str, Difference] = {one.name: one for one in found.repositories}
    assert by_name["r003"].state == "came"
    assert {change.kind for change in by_name["r000"].changes} == {"moved"}
    assert [change.kind for change in by_name["r001"].changes if change.rule == "MLE0506"] == ["fixed"]
    assert {change.kind for change in by_name["r002"].changes} == {"new"}
    assert f"Since the earlier batch: {headline(found)}" in result.stdout
    assert (out / "changes.txt").read_text() == as_text(found)
    assert batch(*roots).exit_code == 0
    assert summary_in(out).comparison is None
    assert not (out / "changes.txt").exists()


def test_a_batch_is_not_compared_with_itself_nor_with_nothing(
    batch: Batch, many: Many, tmp_path: Path, out: Path
) -> None:
    roots = many(1)
    batch(*roots)
    for same in (out, out / "summary.json"):
        result = batch(*roots, "--compare", same)
        assert (result.exit_code, "keep a copy of summary.json and findings.csv" in result.stderr) == (2, True)
    none = batch(*roots, "--compare", tmp_path / "none")
    assert (none.exit_code, "there is no earlier batch" in none.stderr) == (2, True)
    (tmp_path / "copy").mkdir()
    for name in ("summary.json", "findings.csv"):
        shutil.copy(out / name, tmp_path / "copy")
    earlier = tmp_path / "copy" / "summary.json"
    earlier.write_text(earlier.read_text().replace('"rules_versions": [', '"rules_versions": ["older", '))
    shown = batch(*roots, "--compare", tmp_path / "copy").stdout
    assert "1 repository compared: 0 new, 0 fixed, 0 moved" in shown
    assert RULES_CHANGED in shown
