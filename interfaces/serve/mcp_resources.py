"""Resources and prompts of the MCP server.

runs://all                      runs of repositories that the server may use, latest first
report://RUN_ID                 the sealed report, as JSON
report://RUN_ID/markdown        the same in Markdown
rules://all, rule://ID          the catalogue, and one rule
"""

from __future__ import annotations

import asyncio

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError

from ml_engineer.assessment.rules_index import load as load_rules
from ml_engineer.interfaces.rules import record
from ml_engineer.interfaces.serve.common import Refused
from ml_engineer.interfaces.serve.results import RuleItem, RuleList, RunList
from ml_engineer.interfaces.serve.service import Service
from ml_engineer.report import markdown
from ml_engineer.report.schema import Report


def add_resources(server: MCPServer, service: Service) -> None:
    async def sealed(run_id: str) -> Report:
        try:
            return await service.report(run_id)
        except Refused as refused:
            raise ResourceNotFoundError(str(refused)) from refused

    @server.resource("runs://all", mime_type="application/json", title="Runs")
    async def runs() -> str:
        """Runs of repositories that this server may use, latest first."""
        return RunList(runs=await asyncio.to_thread(service.runs)).model_dump_json(indent=1)

    @server.resource("report://{run_id}", mime_type="application/json", title="Sealed report")
    async def report(run_id: str) -> str:
        """The sealed report of a run, as `ml-engineer review --format json` gives it."""
        return (await sealed(run_id)).to_json()

    @server.resource("report://{run_id}/markdown", mime_type="text/markdown", title="Report in Markdown")
    async def report_markdown(run_id: str) -> str:
        """The report of a run, for people."""
        return await asyncio.to_thread(markdown.render, await sealed(run_id))

    @server.resource("rules://all", mime_type="application/json", title="Rules")
    async def rules() -> str:
        """Every rule, with why it matters and what to do."""
        return RuleList(rules=[RuleItem(**record(rule)) for rule in load_rules()]).model_dump_json(indent=1)

    @server.resource("rule://{rule_id}", mime_type="application/json", title="Rule")
    async def rule(rule_id: str) -> str:
        """One rule."""
        try:
            return service.rule(rule_id).model_dump_json(indent=1)
        except Refused as refused:
            raise ResourceNotFoundError(str(refused)) from refused


def add_prompts(server: MCPServer) -> None:
    @server.prompt(title="Review a repository for production")
    def review_for_production(path: str) -> str:
        """Review a repository, and say what stands between it and production."""
        return (
            f"Review the machine-learning repository {path} with the tool review_repository. Say what it is, how ready "
            "it is, and the five things to fix first, each with its place. Quote only what the tool gave."
        )

    @server.prompt(title="Plan the way to production")
    def bring_to_production(path: str) -> str:
        """Review a repository, and turn what is found into work in order."""
        return (
            f"Review {path} with review_repository, then call plan_production with its run_id. Give the work as a "
            "list in the plan's order: what to do, where, and how one sees that it is done. Name the peers that the "
            "plan's hand-offs are for, with their questions."
        )

    @server.prompt(title="Fix the findings of one rule")
    def fix_rule(path: str, rule: str) -> str:
        """Repair every place where one rule found something, and prove it."""
        return (
            f"Review {path} with review_repository, list its findings with list_findings and rule={rule}, and read "
            f"explain_rule for {rule}. Repair every place, the smallest change each. Then review again: {rule} must be "
            "gone and no new finding be there."
        )

    @server.prompt(title="Before a merge")
    def gate_a_merge(path: str) -> str:
        """Say whether a change to a machine-learning repository may go in."""
        return (
            f"Review {path} with review_repository. If list_findings with severity=high gives any finding in a file "
            "that the current change touches, say that it may not be merged, which finding it is and what to do; else "
            "say that nothing speaks against it."
        )
