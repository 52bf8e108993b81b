"""The evidence check: what stands stays, what moved is repaired, the rest is dropped and counted."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_engineer.report import schema
from ml_engineer.report.evidence import UNCONFIRMED, EvidenceChecker, check_report
from ml_engineer.report.reread import MAX_BYTES
from ml_engineer.report.schema import (
    Absence,
    Claim,
    ClaimState,
    CommandRun,
    Fact,
    Measurement,
    Place,
    Quote,
    Report,
    Searched,
)


def cite(
    path: str, line: int, text: str, *, end: int | None = None, cell: int | None = None, sha256: str = ""
) -> Quote:
    return Quote(path=path, line_start=line, line_end=end or line, quote=text, sha256=sha256, cell=cell)


def absence(need: Place, patterns: list[str], files: list[str]) -> Absence:
    return Absence(need=need, searched=Searched(patterns=patterns, files=files))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "target"
    root.mkdir()
    return root


def verdict_of(root: Path, evidence: Quote | Absence) -> tuple[Quote | Absence | None, bool, str]:
    verdict = EvidenceChecker(root, None).check(evidence)
    assert verdict.evidence is None or isinstance(verdict.evidence, Quote | Absence)
    return verdict.evidence, verdict.repaired, verdict.reason


def test_a_report_whose_quotes_all_stand_is_unchanged(report: Report, target: Path, run_dir: Path) -> None:
    checked = check_report(report, target, run_dir)
    assert checked.evidence_check.dropped == checked.evidence_check.repaired == 0
    assert checked.evidence_check.dropped_items == []
    assert checked.evidence_check.checked == 19
    assert checked.findings[0] == report.findings[0]
    assert checked.sections.performance_metrics == report.sections.performance_metrics
    assert checked.score == report.score


def test_a_quote_that_moved_gets_its_line(folder: Path) -> None:
    (folder / "a.py").write_text("\n\n\nimport os\nos.remove(path)\n")
    kept, repaired, _ = verdict_of(folder, cite("a.py", 1, "import os\nos.remove(path)", end=2, sha256="0" * 64))
    assert isinstance(kept, Quote)
    assert (kept.line_start, kept.line_end, repaired) == (4, 5, True)
    assert kept.sha256 == hashlib.sha256((folder / "a.py").read_bytes()).hexdigest()


def test_of_two_occurrences_the_nearest_is_taken(folder: Path) -> None:
    (folder / "a.py").write_text("load(path)\n" + "pass\n" * 20 + "load(path)\n")
    kept, _, _ = verdict_of(folder, cite("a.py", 19, "load(path)"))
    assert isinstance(kept, Quote)
    assert kept.line_start == 22


def test_a_quote_in_place_wins_over_a_copy(folder: Path) -> None:
    (folder / "a.py").write_text("load(path)\nload(path)\n")
    kept, repaired, _ = verdict_of(folder, cite("a.py", 2, "load(path)"))
    assert isinstance(kept, Quote)
    assert (kept.line_start, repaired) == (2, False)


def test_a_quote_shorter_than_its_range_stands(folder: Path) -> None:
    (folder / "a.py").write_text("def f():\n    return 1\n")
    assert verdict_of(folder, cite("a.py", 1, "return 1", end=2))[1:] == (False, "")


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        pytest.param(b"x = 1\r\ny = 2\r\n", "x = 1\ny = 2", id="crlf"),
        pytest.param(b"x = 1\ry = 2\r", "x = 1\ny = 2", id="cr"),
        pytest.param(b"x = 1\ny = 2\n", "x = 1\r\ny = 2\r\n", id="crlf in the quote"),
        pytest.param(b"x = 1   \ny = 2\t\n", "x = 1\ny = 2  ", id="white space at line ends"),
        pytest.param(b"\xef\xbb\xbfx = 1\ny = 2\n", "x = 1\ny = 2", id="byte order mark"),
        pytest.param("x = 'é'\ny = 2\n".encode("latin-1"), "x = 'é'\ny = 2", id="latin-1"),
        pytest.param("x = 'é'\ny = 2\n".encode("utf-16"), "x = 'é'\ny = 2", id="utf-16"),
        pytest.param(b"x = 1\x0c\ny = 2\n", "x = 1\ny = 2", id="form feed ends no line"),
    ],
)
def test_line_ends_and_encodings(folder: Path, text: bytes, quote: str) -> None:
    (folder / "a.py").write_bytes(text)
    kept, repaired, reason = verdict_of(folder, cite("a.py", 1, quote, end=2))
    assert (kept is not None, repaired, reason) == (True, False, "")


@pytest.mark.parametrize(
    ("quote", "reason"),
    [
        pytest.param(cite("a.py", 1, "torch.load(path)"), "does not stand in the file", id="not there"),
        pytest.param(cite("a.py", 2, ")"), "too short", id="a bracket elsewhere"),
        pytest.param(cite("a.py", 9, "load"), "does not stand in the file", id="only inside a longer word"),
        pytest.param(cite("gone.py", 1, "import os"), "gone", id="no such file"),
        pytest.param(cite("../secret.py", 1, "password"), "leaves the folder", id="above the root"),
        pytest.param(cite("/etc/passwd", 1, "root"), "leaves the folder", id="absolute"),
        pytest.param(cite("a\0.py", 1, "root"), "leaves the folder", id="NUL in the path"),
        pytest.param(cite("link.py", 1, "password = 1"), "out of the folder", id="a link out of the tree"),
        pytest.param(cite("linked/secret.py", 1, "password = 1"), "out of the folder", id="a linked folder"),
        pytest.param(cite("loop", 1, "x"), "cannot be read", id="a loop of links"),
        pytest.param(cite("pipe", 1, "x"), "not a regular file", id="a pipe does not block"),
        pytest.param(cite("sub", 1, "x"), "not a regular file", id="a folder"),
        pytest.param(cite("a.py", 1, "import os", cell=0), "not a valid notebook", id="a cell of no notebook"),
        pytest.param(cite("x" * 5000, 1, "x"), "cannot be read", id="a name too long"),
    ],
)
def test_what_does_not_stand_is_dropped_with_the_reason(folder: Path, quote: Quote, reason: str) -> None:
    (folder.parent / "secret.py").write_text("password = 1\n")
    (folder / "a.py").write_text("import os\n\nx = unload(path)\n")
    (folder / "link.py").symlink_to(folder.parent / "secret.py")
    (folder / "linked").symlink_to(folder.parent)
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "sub").mkdir()
    os.mkfifo(folder / "pipe")
    kept, repaired, told = verdict_of(folder, quote)
    assert (kept, repaired) == (None, False)
    assert reason in told


def test_a_link_inside_the_tree_is_followed(folder: Path) -> None:
    (folder / "a.py").write_text("import os\n")
    (folder / "b.py").symlink_to("a.py")
    assert verdict_of(folder, cite("b.py", 1, "import os"))[0] is not None


def test_the_root_itself_may_be_a_link(folder: Path) -> None:
    (folder / "a.py").write_text("import os\n")
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert verdict_of(link, cite("a.py", 1, "import os"))[0] is not None


def test_a_file_above_the_limit_is_not_read_but_is_there(folder: Path) -> None:
    with (folder / "model.pkl").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    kept, _, _ = verdict_of(folder, cite("model.pkl", 1, "", sha256=hashlib.sha256(b"").hexdigest()))
    assert isinstance(kept, Quote)
    assert kept.sha256 == ""
    assert "larger than" in verdict_of(folder, cite("model.pkl", 1, "x = 1"))[2]


def test_an_empty_quote_cites_the_file_by_its_digest(folder: Path) -> None:
    (folder / "model.pkl").write_bytes(b"\x80\x04.")
    digest = hashlib.sha256(b"\x80\x04.").hexdigest()
    kept, _, _ = verdict_of(folder, cite("model.pkl", 1, "", sha256=digest))
    assert isinstance(kept, Quote)
    assert kept.sha256 == digest
    assert "changed" in verdict_of(folder, cite("model.pkl", 1, "", sha256="0" * 64))[2]


class TestNotebooks:
    @pytest.fixture
    def notebook(self, folder: Path) -> Path:
        cells = [
            {"cell_type": "markdown", "source": "# Title"},
            {"cell_type": "code", "source": ["import os\n", "x = load(path)\n"]},
            {"cell_type": "code", "source": "y = fit(x)"},
        ]
        (folder / "a.ipynb").write_text(json.dumps({"cells": cells}))
        return folder

    def test_lines_count_inside_the_cell(self, notebook: Path) -> None:
        assert verdict_of(notebook, cite("a.ipynb", 2, "x = load(path)", cell=1))[1:] == (False, "")

    def test_a_cell_inserted_before_moves_the_quote(self, notebook: Path) -> None:
        kept, repaired, _ = verdict_of(notebook, cite("a.ipynb", 1, "y = fit(x)", cell=1))
        assert isinstance(kept, Quote)
        assert (kept.cell, kept.line_start, repaired) == (2, 1, True)

    def test_a_cell_that_is_gone(self, notebook: Path) -> None:
        assert "does not stand" in verdict_of(notebook, cite("a.ipynb", 1, "z = 1 + 2", cell=9))[2]

    def test_the_first_worksheet_of_the_old_format(self, folder: Path) -> None:
        (folder / "a.ipynb").write_text(json.dumps({"worksheets": [{"cells": [{"source": "x = 1"}]}]}))
        assert verdict_of(folder, cite("a.ipynb", 1, "x = 1", cell=0))[1:] == (False, "")

    @pytest.mark.parametrize("text", ["{", "[]", "{}", '{"cells": 3}', "[" * 100_000])
    def test_a_broken_notebook(self, folder: Path, text: str) -> None:
        (folder / "a.ipynb").write_text(text)
        assert "not a valid notebook" in verdict_of(folder, cite("a.ipynb", 1, "x = 1", cell=0))[2]


class TestAbsence:
    def test_the_need_is_read_again_and_repaired(self, folder: Path) -> None:
        (folder / "app.py").write_text("\n\napp = Flask(__name__)\n")
        need = Place(path="app.py", line=1, quote="app = Flask(__name__)")
        kept, repaired, _ = verdict_of(folder, absence(need, ["/health"], ["app.py"]))
        assert isinstance(kept, Absence)
        assert (kept.need.line, repaired) == (3, True)

    def test_a_need_that_does_not_stand(self, folder: Path) -> None:
        (folder / "app.py").write_text("app = FastAPI()\n")
        need = Place(path="app.py", line=1, quote="app = Flask(__name__)")
        assert "does not stand" in verdict_of(folder, absence(need, ["/health"], ["app.py"]))[2]

    @pytest.mark.parametrize(("patterns", "files"), [([], ["app.py"]), (["/health"], []), ([], [])])
    def test_nothing_searched_proves_nothing(self, folder: Path, patterns: list[str], files: list[str]) -> None:
        (folder / "app.py").write_text("app = Flask(__name__)\n")
        need = Place(path="app.py", line=1, quote="app = Flask(__name__)")
        assert "what was searched" in verdict_of(folder, absence(need, patterns, files))[2]


class TestRecords:
    @pytest.mark.parametrize(
        ("record", "exit_code", "reason"),
        [
            ("records/pytest.json", 5, ""),
            ("records/pytest.json", 0, "exit code 5, not 0"),
            ("records/gone.json", 0, "gone"),
            ("../../etc/hosts", 0, "leaves the folder"),
        ],
    )
    def test_a_command_agrees_with_its_record(self, run_dir: Path, record: str, exit_code: int, reason: str) -> None:
        command = CommandRun(command="pytest", exit_code=exit_code, record=record)
        verdict = EvidenceChecker(run_dir, run_dir).check(command)
        assert (verdict.evidence is None) == bool(reason)
        assert reason in verdict.reason

    @pytest.mark.parametrize(("value", "reason"), [(41.5, ""), (4.15, "the record says 41.5, not 4.15")])
    def test_a_measurement_agrees_with_its_record(self, run_dir: Path, value: float, reason: str) -> None:
        figure = Measurement(
            name="p95", value=value, unit="ms", samples=2, method="by hand", record="records/latency.json"
        )
        assert EvidenceChecker(run_dir, run_dir).check(figure).reason == reason

    def test_without_a_run_directory_there_is_no_record(self, folder: Path) -> None:
        command = CommandRun(command="pytest", exit_code=0, record="records/pytest.json")
        assert "no run directory" in EvidenceChecker(folder, None).check(command).reason

    def test_plain_text_is_a_record_and_broken_json_is_not(self, folder: Path) -> None:
        (folder / "out.txt").write_text("3 passed")
        (folder / "out.json").write_text("{")
        checker = EvidenceChecker(folder, folder)
        assert checker.check(CommandRun(command="pytest", exit_code=0, record="out.txt")).reason == ""
        assert "not valid JSON" in checker.check(CommandRun(command="pytest", exit_code=0, record="out.json")).reason


class TestReport:
    """What falls with its evidence."""

    LOST = cite("gone.py", 1, "import os")

    def test_a_finding_without_evidence_is_dropped_and_told(self, report: Report, target: Path, run_dir: Path) -> None:
        finding = report.findings[0].model_copy(update={"evidence": [self.LOST]})
        checked = check_report(report.model_copy(update={"findings": [finding]}), target, run_dir)
        assert checked.findings == []
        assert checked.evidence_check.dropped == 1
        first, second = checked.evidence_check.dropped_items
        assert "gone.py:1 (MLE0502)" in first
        assert "finding MLE0502" in second

    def test_a_finding_keeps_the_evidence_that_stands(self, report: Report, target: Path, run_dir: Path) -> None:
        finding = report.findings[0]
        finding = finding.model_copy(update={"evidence": [self.LOST, finding.evidence[0]]})
        checked = check_report(report.model_copy(update={"findings": [finding]}), target, run_dir)
        assert checked.findings[0].evidence == report.findings[0].evidence[:1]

    @pytest.mark.parametrize(
        "state", [ClaimState.MEASURED, ClaimState.IMPLEMENTED, ClaimState.PRESENT, ClaimState.ABSENT]
    )
    def test_a_claim_that_loses_its_evidence_becomes_unknown(
        self, report: Report, target: Path, run_dir: Path, state: ClaimState
    ) -> None:
        claim = Claim(text="MLflow", state=state, evidence=[self.LOST])
        assert self._checked(report, claim, target, run_dir) == Claim(
            text=UNCONFIRMED + "MLflow", state=ClaimState.UNKNOWN
        )

    def test_a_claim_of_presence_without_any_evidence_becomes_unknown(
        self, report: Report, target: Path, run_dir: Path
    ) -> None:
        claim = Claim(text="MLflow", state=ClaimState.PRESENT)
        assert self._checked(report, claim, target, run_dir).state is ClaimState.UNKNOWN

    @pytest.mark.parametrize("state", [ClaimState.PROPOSED, ClaimState.ABSENT, ClaimState.UNKNOWN])
    def test_what_is_not_said_to_be_there_needs_no_evidence(
        self, report: Report, target: Path, run_dir: Path, state: ClaimState
    ) -> None:
        claim = Claim(text="MLflow", state=state)
        assert self._checked(report, claim, target, run_dir) == claim

    def test_checking_twice_changes_nothing_more(self, report: Report, target: Path, run_dir: Path) -> None:
        claim = Claim(text="MLflow", state=ClaimState.PRESENT, evidence=[self.LOST])
        once = check_report(self._with(report, claim), target, run_dir)
        assert check_report(once, target, run_dir).sections == once.sections

    def test_a_fact_that_loses_its_evidence_is_dropped(self, report: Report, target: Path, run_dir: Path) -> None:
        facts = [Fact(name="Ports", value="5000", evidence=[self.LOST]), Fact(name="Files", value="5")]
        checked = check_report(report.model_copy(update={"profile": facts}), target, run_dir)
        assert [fact.name for fact in checked.profile] == ["Files"]

    def test_a_scored_test_that_loses_its_evidence_gives_its_points_back(
        self, report: Report, target: Path, run_dir: Path
    ) -> None:
        tests = list(report.score.tests)
        tests[0] = tests[0].model_copy(update={"evidence": [self.LOST]})
        score = report.score.model_copy(update={"tests": tests})
        checked = check_report(report.model_copy(update={"score": score}), target, run_dir).score
        assert (checked.tests[0].state, checked.tests[0].points) == (schema.TestState.NOT_OBSERVED, 0)
        assert checked.sections["Data"] == report.score.sections["Data"] - 0.5
        assert checked.ml_test_score == min(checked.sections.values())

    def test_evidence_cited_twice_is_counted_once(self, report: Report, target: Path, run_dir: Path) -> None:
        once = check_report(report, target, run_dir).evidence_check.checked
        doubled = report.model_copy(update={"findings": report.findings * 2})
        assert check_report(doubled, target, run_dir).evidence_check.checked == once

    def _with(self, report: Report, claim: Claim) -> Report:
        fields = {**report.sections.ml_infrastructure, "Model Registry": claim}
        sections = report.sections.model_copy(update={"ml_infrastructure": fields})
        return report.model_copy(update={"sections": sections})

    def _checked(self, report: Report, claim: Claim, target: Path, run_dir: Path) -> Claim:
        checked = check_report(self._with(report, claim), target, run_dir)
        return checked.sections.ml_infrastructure["Model Registry"]


@given(
    lines=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=30), max_size=12
    ),
    shift=st.integers(0, 5),
    data=st.data(),
)
def test_any_line_of_any_file_is_found_again(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], shift: int, data: st.DataObject
) -> None:
    """A quote of whole lines stands where it was taken, and is found again after lines were put in front of it."""
    root = tmp_path_factory.mktemp("any")
    lines = [*lines, "import os"]
    first = data.draw(st.integers(1, len(lines)))
    last = data.draw(st.integers(first, len(lines)))
    quote = cite("a.py", first, "\n".join(lines[first - 1 : last]), end=last)
    (root / "a.py").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
    assert verdict_of(root, quote)[1:] == (False, "")
    # What is in front must hold no copy of the quote, and a quote must be long enough to be looked for.
    if len(quote.quote.strip()) >= 3:
        (root / "a.py").write_text("\n" * shift + "\n".join(lines) + "\n", encoding="utf-8", newline="")
        kept, _, reason = verdict_of(root, quote)
        assert kept is not None, reason


def test_thousands_of_quotes_read_each_file_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.py").write_text("".join(f"value_{n} = {n}\n" for n in range(5000)))
    opened: list[object] = []
    real_open: Callable[..., int] = os.open
    monkeypatch.setattr(os, "open", lambda *given, **more: (opened.append(given), real_open(*given, **more))[1])
    checker = EvidenceChecker(folder, None)
    verdicts = [checker.check(cite("a.py", n + 1, f"value_{n} = {n}")) for n in range(5000)]
    assert all(verdict.evidence is not None for verdict in verdicts)
    assert len(opened) == 1
