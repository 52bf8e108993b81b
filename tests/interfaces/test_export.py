"""What other systems load: the Claude Code plugin, the GitHub Action, the pre-commit hook."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_engineer import __version__
from ml_engineer.delegation.peers import parse_peer
from tests.support.console import SCRIPT

ROOT = Path(__file__).parents[2]
Call = Callable[..., subprocess.CompletedProcess[str]]
SKILL_FIELDS = {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}  # agentskills.io


@pytest.fixture
def plugin(run: Call, tmp_path: Path) -> Path:
    folder = tmp_path / "plugin"
    done = run("export", "claude-code", folder)
    assert done.returncode == 0, done.stderr
    return folder


def frontmatter(text: str) -> dict[str, Any]:
    match = re.match(r"---\n(.*?)\n---\n", text, re.S)
    assert match is not None
    fields: dict[str, Any] = yaml.safe_load(match[1])
    return fields


def test_the_plugin_says_what_it_is_and_starts_the_server(plugin: Path) -> None:
    about = json.loads((plugin / ".claude-plugin/plugin.json").read_text())
    assert about["name"] == "ml-engineer"
    assert about["version"] == __version__
    assert about["description"] and about["author"]["name"]
    server = json.loads((plugin / ".mcp.json").read_text())["mcpServers"]["ml-engineer"]
    assert server == {"command": "ml-engineer", "args": ["serve", "mcp"]}
    assert len((plugin / "README.md").read_text().split()) >= 40
    assert "MIT" in (plugin / "LICENSE").read_text()
    icon = (plugin / ".claude-plugin/icon.png").read_bytes()
    assert icon.startswith(b"\x89PNG")
    assert int.from_bytes(icon[16:20]) == int.from_bytes(icon[20:24]) >= 512


def test_the_agent_and_the_six_peers_are_agents(plugin: Path) -> None:
    agents = {path.stem: parse_peer(path.read_text(), path.name) for path in (plugin / "agents").glob("*.md")}
    assert set(agents) == {
        "ml-engineer", "data-scientist", "data-engineer", "cloud-architect", "devops-engineer", "aiops-specialist",
        "ai-strategist",
    }  # fmt: skip
    assert all(agent.name == stem for stem, agent in agents.items())
    text = agents["ml-engineer"].prompt
    assert all(peer in text for peer in agents if peer != "ml-engineer")


def test_what_the_agent_and_the_skills_name_is_there(plugin: Path, run: Call) -> None:
    """The tools they call by name are those of the server."""
    from ml_engineer.interfaces.serve import mcp

    served = set(re.findall(r"async def (\w+)\(", Path(mcp.__file__).read_text()))
    texts = [path.read_text() for path in [*plugin.glob("agents/ml-engineer.md"), *plugin.glob("skills/*/SKILL.md")]]
    named = {name for text in texts for name in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text)}
    assert {"review_repository", "list_findings", "explain_rule", "plan_production"} <= named
    assert named <= served


def test_each_skill_keeps_to_the_published_form(plugin: Path) -> None:
    skills = sorted((plugin / "skills").iterdir())
    assert len(skills) == 4
    for skill in skills:
        text = (skill / "SKILL.md").read_text()
        fields = frontmatter(text)
        assert set(fields) <= SKILL_FIELDS
        assert fields["name"] == skill.name
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", fields["name"])
        assert "Use it when" in fields["description"] and len(fields["description"]) <= 1024
        assert len(text.splitlines()) < 500


def test_a_plugin_is_renewed_and_nothing_else_is_written_over(plugin: Path, run: Call, tmp_path: Path) -> None:
    (plugin / "agents/ml-engineer.md").write_text("old")
    assert run("export", "claude-code", plugin, "--command", "other").returncode == 0
    assert (plugin / "agents/ml-engineer.md").read_text() != "old"
    assert '"command": "other"' in (plugin / ".mcp.json").read_text()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "README.md").write_text("mine")
    refused = run("export", "claude-code", mine)
    assert refused.returncode == 2
    assert "not empty" in refused.stderr
    assert [path.name for path in mine.iterdir()] == ["README.md"]


@pytest.mark.skipif(shutil.which("claude") is None, reason="the Claude Code CLI is not installed")
def test_the_real_cli_finds_the_plugin_valid(plugin: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["claude", "plugin", "validate", plugin],
        env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


# --- the action ---------------------------------------------------------------------------------------------------


@pytest.fixture
def action() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
    return loaded


def scripts(action: dict[str, Any]) -> dict[str, str]:
    return {step["name"]: step["run"] for step in action["runs"]["steps"] if "run" in step}


def test_the_action_gives_its_inputs_to_scripts_as_data_only(action: dict[str, Any]) -> None:
    for step in action["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
        assert step.get("shell", "bash") == "bash"
    used = set(re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text()))
    assert used == set(action["inputs"])


@pytest.fixture
def runner(environment: dict[str, str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a script of the action as GitHub's runner does."""
    (tmp_path / "temp").mkdir()

    def call(script: str, **given: str) -> subprocess.CompletedProcess[str]:
        files = {name: str(tmp_path / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        files["PATH"] = f"{SCRIPT.parent}{os.pathsep}{environment['PATH']}"  # where the action has installed it
        path = tmp_path / "step.sh"
        path.write_text(script)
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", path],
            env=environment | files | {"RUNNER_TEMP": str(tmp_path / "temp")} | given,
            cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    return call


def outputs(tmp_path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (tmp_path / "GITHUB_OUTPUT").read_text().splitlines())


def test_the_action_reviews_and_its_gate_decides(
    action: dict[str, Any], runner: Call, prototype: Path, tmp_path: Path
) -> None:
    steps = scripts(action)
    done = runner(steps["Review"], TARGET=str(prototype), BASELINE="", STEPS="")
    assert done.returncode == 0, done.stderr
    out = outputs(tmp_path)
    assert json.loads(Path(out["sarif"]).read_text())["version"] == "2.1.0"
    report = json.loads(Path(out["report"]).read_text())
    assert report["findings"]
    assert "## ML Production System Implementation" in (tmp_path / "GITHUB_STEP_SUMMARY").read_text()
    gate = {"RUN": out["run"], "CODE": out["code"]}
    assert runner(steps["Gate"], FAIL_ON="", **gate).returncode == 0
    assert runner(steps["Gate"], FAIL_ON="info", **gate).returncode == 1
    baseline = runner(steps["Review"], TARGET=str(prototype), BASELINE=out["report"], STEPS="1,5")
    assert baseline.returncode == 0, baseline.stderr
    again = outputs(tmp_path)
    assert again["run"] != out["run"]
    assert runner(steps["Gate"], FAIL_ON="info", RUN=again["run"], CODE=again["code"]).returncode == 0


def test_the_action_fails_where_there_is_nothing_to_review(action: dict[str, Any], runner: Call) -> None:
    done = runner(scripts(action)["Review"], TARGET="no-such-folder", BASELINE="", STEPS="")
    assert done.returncode == 2
    assert "no-such-folder" in done.stderr


def test_the_pre_commit_hook_is_a_command_that_runs(run: Call, prototype: Path) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["language"] == "python" and hook["pass_filenames"] is False
    command, *arguments = [*hook["entry"].split(), *hook["args"]]
    assert command == "ml-engineer"
    done = run(*arguments, cwd=prototype)
    assert done.returncode in (0, 1), done.stderr
    assert "MLE" in done.stdout
