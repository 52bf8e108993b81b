"""The agent card: what other agents read of this one before they send it anything.

    card(url, implements=…, token=…)    served at /.well-known/agent-card.json, which needs no token

The address in it is the one under which the card was asked for, so that it holds behind a proxy and on any port.
"""

from __future__ import annotations

from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    HTTPAuthSecurityScheme,
    SecurityRequirement,
    SecurityScheme,
    StringList,
)

from ml_engineer import __version__
from ml_engineer.interfaces.serve.order import IMPLEMENT, REVIEW, ROUTE, STEP_SKILLS
from ml_engineer.report.schema import STEP_NAMES

RPC, REST = "/a2a", "/rest"
_ABOUT = (
    "Takes a repository with a prototype model to production: reviews it in ten steps and gives a sealed report in "
    "which every claim has evidence that can be checked. Works without a model; changes nothing unless it was started "
    "to."
)
_COVERS = {
    1: ["data leakage", "metrics", "baselines", "artefacts"],
    2: ["training-serving skew", "notebooks", "configuration"],
    3: ["undefined names", "swallowed errors", "tests"],
    4: ["seeds", "experiment tracking", "pipelines", "data validation"],
    5: ["serving", "input validation", "containers", "unsafe loading"],
    6: ["latency", "throughput", "batching", "memory"],
    7: ["drift", "logging", "metrics", "alerts"],
    8: ["CI", "model gates", "workflow security"],
    9: ["Kubernetes", "resources", "probes", "secrets"],
    10: ["dependencies", "data versions", "lineage", "secrets in git"],
}


def card(url: str, *, implements: bool, token: bool) -> AgentCard:
    """The card for a server at `url`. `implements`: it may change repositories. `token`: callers need one."""
    made = AgentCard(
        name="ml-engineer",
        description=_ABOUT,
        version=__version__,
        skills=list(_skills(implements)),
        capabilities=AgentCapabilities(streaming=True),
        default_input_modes=["text/plain", "application/json"],
        default_output_modes=["text/markdown", "application/json"],
        supported_interfaces=[
            AgentInterface(protocol_binding="JSONRPC", protocol_version="1.0", url=f"{url}{RPC}"),
            AgentInterface(protocol_binding="HTTP+JSON", protocol_version="1.0", url=f"{url}{REST}"),
        ],
    )
    if token:
        bearer = SecurityScheme(http_auth_security_scheme=HTTPAuthSecurityScheme(scheme="bearer"))
        made.security_schemes["bearer"].CopyFrom(bearer)
        made.security_requirements.append(SecurityRequirement(schemes={"bearer": StringList()}))
    return made


def _skills(implements: bool) -> list[AgentSkill]:
    found = [
        AgentSkill(
            id=REVIEW,
            name="Review a repository",
            description="All ten steps: findings with evidence, ML Test Score, readiness by step, hand-offs to peers.",
            tags=["mlops", "review", "production readiness", "report"],
            examples=["review churn", '{"skill": "review", "path": "churn", "steps": [1, 5]}'],
        ),
        AgentSkill(
            id=ROUTE,
            name="Route a task",
            description="Which peers (data scientist, cloud architect, …) a task should go to, and on what evidence.",
            tags=["routing", "delegation"],
            examples=["route ./churn Serve it in three regions"],
        ),
    ]
    if implements:
        found.append(
            AgentSkill(
                id=IMPLEMENT,
                name="Implement a change",
                description="Plans it, asks for approval, works on a branch of its own, proves each step by checks.",
                tags=["implementation", "refactoring", "deployment"],
                examples=["implement ./churn Add a health route and pin the dependencies"],
            )
        )
    for name, step in STEP_SKILLS.items():
        found.append(
            AgentSkill(
                id=name,
                name=STEP_NAMES[step],
                description=f"Step {step} of the review alone: {', '.join(_COVERS[step])}.",
                tags=_COVERS[step],
                examples=[f"{name} churn"],
            )
        )
    return found
