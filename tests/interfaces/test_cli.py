"""The console script as its user meets it: results, messages, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from subprocess import PIPE

import pytest

from ml_engineer.assessment import rules_index
from ml_engineer.interfaces import options
from ml_engineer.interfaces.rules import STEPS
from ml_engineer.report.schema import STEP_NAMES, Report, Severity
from ml_engineer.report.seal import digest
from tests.support.console import SCRIPT


def test_a_review_writes_one_sealed_report_to_stdout_and_nothing_else(environment, prototype):
    command = [SCRIPT, "review", prototype, "--offline", "--format", "json"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    report = Report.model_validate_json(result.stdout)
    assert report.digest == digest(report)
    assert report.coverage.state == "complete"
    assert [step.step for step in report.coverage.steps] == list(range(1, 11))
    assert any(finding.rule == "MLE0506" for finding in report.findings)


def test_every_quote_of_the_report_stands_in_its_file(run, prototype):
    report = Report.model_validate_json(run("review", prototype, "--format", "json").stdout)
    quotes = [e for f in report.findings for e in f.evidence if e.kind == "quote"]
    assert quotes
    for quote in quotes:
        lines = (prototype / quote.path).read_text().splitlines()
        assert "\n".join(lines[quote.line_start - 1 : quote.line_end]).startswith(quote.quote)
    assert report.evidence_check.checked > 0
    assert report.evidence_check.dropped == 0


def test_two_reviews_of_the_same_tree_give_the_same_report(run, prototype):
    first, second = (json.loads(run("review", prototype, "--format", "json").stdout) for _ in range(2))
    for report in (first, second):
        report["run"] = report["digest"] = None
    assert first == second


def test_each_format_is_what_it_says(run, prototype):
    assert run("review", prototype, "--format", "md").stdout.startswith("## ML Production System Implementation")
    assert run("review", prototype, "--format", "html").stdout.lower().startswith("<!doctype html>")
    assert json.loads(run("review", prototype, "--format", "sarif").stdout)["version"] == "2.1.0"
    text = run("review", prototype).stdout
    assert "Fix first" in text
    assert "\x1b" not in text


def test_output_goes_to_the_file_that_was_named(run, prototype, tmp_path):
    target = tmp_path / "report.md"
    result = run("review", prototype, "--format", "md", "--output", target)
    assert (result.returncode, result.stdout) == (0, "")
    assert target.read_text().startswith("## ML Production System Implementation")


def test_a_pipe_that_is_named_is_written_to_and_a_link_is_followed(run, prototype, tmp_path):
    name = run("review", prototype, "--steps", "3").stdout.split("\nrun ")[1].split()[0]
    pipe, link = tmp_path / "pipe", tmp_path / "link.md"
    os.mkfifo(pipe)
    link.symlink_to(tmp_path / "kept.md")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run("runs", "report", name, "--format", "md", "-o", pipe).returncode == 0
        assert os.read(reader, 2).decode() == "##"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    assert run("runs", "report", name, "--format", "md", "-o", link).returncode == 0
    assert link.is_symlink()
    assert (tmp_path / "kept.md").read_text().startswith("## ML")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here that is always full")
def test_a_full_disk_is_no_fault_of_ours(environment, run, prototype):
    name = run("review", prototype, "--steps", "3").stdout.split("\nrun ")[1].split()[0]
    for arguments in (("rules",), ("runs", "report", name), ("runs", "report", name, "-o", "/dev/full")):
        with open("/dev/full", "w") as full:
            result = subprocess.run(
                [SCRIPT, *arguments], check=False, stdout=full, stderr=PIPE, text=True, env=environment
            )
        assert (result.returncode, "No space left on device" in result.stderr) == (2, True), arguments
        assert "fault of ours" not in result.stderr
    assert f"it is kept: ml-engineer runs report {name}" in result.stderr
    assert Path("/dev/full").is_char_device()


def test_a_closed_standard_output_is_nobody_who_wants_the_result(environment):
    command = ["sh", "-c", '"$0" rules >&-', str(SCRIPT)]
    result = subprocess.run(command, check=False, stderr=PIPE, text=True, env=environment)
    assert (result.returncode, result.stderr) == (0, "")


def test_text_that_is_no_terminal_s_has_no_blanks_at_the_ends_of_its_lines(run, prototype):
    lines = run("review", prototype, "--steps", "5").stdout.split("\n")
    assert len(lines) > 20
    assert [line for line in lines if line != line.rstrip()] == []


@pytest.mark.parametrize(
    ("word", "told"), [("reviw", "Did you mean 'review'?"), ("folder", "ml-engineer review folder"), ("zzz", "'zzz'.")]
)
def test_a_word_that_is_no_command_is_answered_with_what_may_have_been_meant(run, tmp_path, word, told):
    (tmp_path / "folder").mkdir()
    result = run(word, cwd=tmp_path)
    assert result.returncode == 2
    assert told in result.stderr


def test_an_output_folder_that_is_missing_is_said_before_the_work(run, prototype, tmp_path):
    result = run("review", prototype, "--output", tmp_path / "no" / "report.md")
    assert result.returncode == 2
    assert "there is no folder" in result.stderr
    assert not (tmp_path / "home").exists()


def test_fail_on_decides_the_exit_code(run, prototype):
    assert run("review", prototype, "--fail-on", "high").returncode == 1
    assert run("review", prototype, "--fail-on", "critical").returncode == 0


def test_steps_that_were_not_asked_for_are_skipped_and_said_so(run, prototype):
    report = Report.model_validate_json(run("review", prototype, "--steps", "5,8", "--format", "json").stdout)
    states = {step.step: step.state.value for step in report.coverage.steps}
    assert {step for step, state in states.items() if state == "done"} == {5, 8}
    assert {finding.step for finding in report.findings} <= {5, 8}
    assert report.sections.model_deployment["Infrastructure"].text == "not reviewed"


def test_steps_outside_of_one_to_ten_are_refused(run, prototype):
    result = run("review", prototype, "--steps", "0,11")
    assert result.returncode == 2
    assert "numbers from 1 to 10" in result.stderr


def test_a_baseline_leaves_only_what_is_new(run, prototype, tmp_path):
    baseline = tmp_path / "old.json"
    run("review", prototype, "--format", "json", "--output", baseline)
    source = prototype / "app.py"
    source.write_text("import yaml\nCONFIG = yaml.load(open('c.yaml'))\n" + source.read_text())
    result = run("review", prototype, "--baseline", baseline, "--format", "json", "--fail-on", "low")
    report = Report.model_validate_json(result.stdout)
    known = {f.fingerprint for f in Report.model_validate_json(baseline.read_text()).findings}
    assert not known & {finding.fingerprint for finding in report.findings}
    assert {item.fingerprint for item in report.suppressed if item.origin == "baseline"} <= known
    assert any(f.rule == "MLE0502" for f in report.findings)


def test_a_baseline_that_is_no_report_is_refused(run, prototype):
    result = run("review", prototype, "--baseline", prototype / "app.py")
    assert result.returncode == 2
    assert "--baseline" in result.stderr


def test_a_suppression_with_a_reason_is_honoured_and_listed(run, prototype):
    source = prototype / "app.py"
    source.write_text(
        source.read_text().replace("debug=True)", "debug=True)  # ml-engineer: ignore[MLE0506] local only")
    )
    report = Report.model_validate_json(run("review", prototype, "--format", "json").stdout)
    assert not any(finding.rule == "MLE0506" for finding in report.findings)
    (item,) = [item for item in report.suppressed if item.rule == "MLE0506"]
    assert (item.path, item.reason, item.origin) == ("app.py", "local only", "inline")


def test_a_suppression_without_a_reason_is_not_honoured_and_said_so(run, prototype):
    source = prototype / "app.py"
    source.write_text(source.read_text().replace("debug=True)", "debug=True)  # ml-engineer: ignore[MLE0506]"))
    report = Report.model_validate_json(run("review", prototype, "--format", "json").stdout)
    assert any(finding.rule == "MLE0506" for finding in report.findings)
    assert any("gives no reason" in note for note in report.coverage.notes)


def test_the_target_s_pyproject_can_put_a_rule_aside_for_a_path(run, prototype):
    (prototype / "pyproject.toml").write_text(
        '[tool.ml-engineer]\nignore = [{rule = "MLE0506", path = "app.py", reason = "behind a gateway"}]\n'
    )
    report = Report.model_validate_json(run("review", prototype, "--format", "json").stdout)
    assert [item.origin for item in report.suppressed if item.rule == "MLE0506"] == ["pyproject"]


def test_rules_are_listed_and_explained(run):
    listed = run("rules").stdout.splitlines()
    assert len(listed) >= 70
    explained = run("rules", "mle0506").stdout
    assert "Rests on:" in explained
    result = run("rules", "MLE9999")
    assert result.returncode == 2
    assert "there is no rule MLE9999; `ml-engineer rules` lists all" in result.stderr
    for wrong in ("MLE506", "debug-onn", "debug"):
        assert "near it: MLE0506 debug-on" in run("rules", wrong).stderr


def test_the_rules_document_is_up_to_date(run):
    document = Path(__file__).resolve().parents[2] / "docs" / "rules.md"
    assert document.read_text() == run("rules", "--markdown").stdout, (
        "run: ml-engineer rules --markdown > docs/rules.md"
    )


def test_the_index_of_rules_is_up_to_date():
    assert rules_index.INDEX.read_text() == rules_index.text(), "run: make docs"


def test_doctor_names_what_is_missing_and_how_to_get_it(run):
    result = run("doctor")
    assert result.returncode == 0
    assert "no key and no base URL: `review` works without a model" in result.stdout


def test_completion_scripts_come_for_three_shells(run):
    for shell in ("bash", "zsh", "fish"):
        assert "_ML_ENGINEER_COMPLETE" in run("completion", shell).stdout


def test_ctrl_c_while_the_program_is_being_loaded_is_no_traceback(environment):
    loading = (
        "import sys\nclass Interrupted:\n    def find_spec(self, name, *more):\n"
        "        if name == 'click': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\nfrom ml_engineer.interfaces.main import main\nmain()\n"
    )
    python = SCRIPT.parent / "python"
    ended = subprocess.run([python, "-c", loading], env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (130, "Interrupted.\n")


def test_help_and_rules_import_neither_langgraph_nor_pydantic_nor_anthropic(environment):
    for arguments in (("--help",), ("rules",)):
        profiled = environment | {"PYTHONPROFILEIMPORTTIME": "1"}
        result = subprocess.run([SCRIPT, *arguments], env=profiled, capture_output=True, text=True, check=True)
        imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
        assert "ml_engineer.interfaces.main" in imported
        assert not {"langgraph", "anthropic", "pydantic", "rich"} & imported


def test_choices_offered_are_those_of_the_report():
    assert tuple(severity.value for severity in Severity) == options.SEVERITIES
    assert frozenset(STEP_NAMES) == options.ALL_STEPS
    assert tuple(STEP_NAMES.values()) == STEPS
