"""What the steps of a CI pipeline do: run tests, train, deploy, publish. Indirection is followed first.

commands_of(repo, step)      every command that a step runs, through make, tox, scripts and so on
runs_tests(repo, job)        the step of a job that runs tests, or None
deployment(repo, step)       the line that ships something, with what it ships, or None
is_unknown(step)             a step that calls a pipeline kept elsewhere
is_hidden(workflow)          a pipeline of which some part is kept elsewhere
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_engineer.assessment.commands import Command
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.rule import Site
    from ml_engineer.assessment.workflows import Job, Step, Workflow

_RUNNERS = frozenset(
    "pytest py.test unittest nosetests nose2 behave ctest trial green stestr jest vitest mocha robot locust-test "
    "doctest xdoctest py_test playwright cypress".split()
)
_TASK_RUNNERS = frozenset(
    "make just tox nox invoke inv task mise npm yarn pnpm poe hatch pdm bazel pants rake batect earthly doit nx".split()
)
_NOT_RUN = frozenset(
    "echo pip pip3 conda mamba micromamba apt apt-get uv brew npm-install printf export mkdir rm cp cat ls test [ git "
    "poetry-add black ruff flake8 pylint isort mypy codecov".split()
)
_TEST_TASK = re.compile(
    r"^([\w.:-]*[-_:.])?(unit|integration|e2e)?[-_:]?(tests?|pytest|check|verify|ci)([-_:.].*)?$", re.I
)
_TEST_STEP = re.compile(r"(run )?((smoke|integration|e2e|end.to.end|unit)[ -])?tests?\b(?! dep| req| env)", re.I)
_IN_ANY_CASE = re.compile(r"\|\|\s*(true|:|echo\b.*|exit 0)\s*$")
_TEST_ACTION = re.compile(r"pytest|tox-action|run-tests|unittest|publishtestresults|test-reporter", re.I)
_TEST_SCRIPT = re.compile(r"(^|/)(run[-_])?(unit[-_]|integration[-_])?tests?([-_]\w+)*\.(sh|py|bash)$")
_REMOTE_CALL = re.compile(r"^[\w.-]+/[\w.-]+/\.github/workflows/.+@")

# What ships: pattern over a command's text -> label.
_DEPLOY = (
    (re.compile(r"\bkubectl\b.*\b(apply|set\s+image|rollout\s+restart|replace|create)\b"), "kubectl"),
    (re.compile(r"\bhelm\b.*\b(upgrade|install)\b"), "helm"),
    (re.compile(r"\b(terraform|tofu|pulumi|terragrunt)\b.*\b(apply|up)\b"), "infrastructure"),
    (re.compile(r"\b(docker|podman|buildah)\b\s+(image\s+)?push\b|\bbuildx?\b.*\s--push\b"), "image push"),
    (
        re.compile(
            r"\baws\b(\s+-\S+(\s+[^-\s]\S*)?)*?\s+[\w-]+\s+"
            r"(update-service|update-function-code|deploy|create-deployment|update-stack)(\s|$)"
        ),
        "AWS",
    ),
    (re.compile(r"\b(sam|cdk|serverless|sls|zappa|chalice)\b\s+deploy\b"), "serverless"),
    (re.compile(r"\bgcloud\b.*\bdeploy\b|\bgcloud\b.*\bservices\s+(update|replace)\b"), "Google Cloud"),
    (re.compile(r"\baz\b.*\b(deploy\w*|up|update|config\s+container\s+set)\b.*|\baz\s+ml\b.*\bdeploy\w*"), "Azure"),
    (
        re.compile(r"\b(flyctl|fly|railway|vercel|heroku|dokku|modal|eb|cf)\b\s+(deploy|up|push|container:release)\b"),
        "app",
    ),
    (re.compile(r"\bgit\s+push\b.*\b(heroku|dokku|space|hf|huggingface)\b"), "git push"),
    (
        re.compile(r"\banyscale\s+service\s+(rollout|deploy)\b|\bbentoml\s+deploy|\btruss\s+push\b|\bcog\s+push\b"),
        "model",
    ),
    (re.compile(r"\bdocker(-compose|\s+compose|\s+stack)\b.*\b(up\s+-d|deploy)\b|\bdocker\s+run\s+-d\b"), "containers"),
    (re.compile(r"\b(twine\s+upload|(poetry|uv|flit|pdm|hatch)\s+publish)\b"), "package"),
    (re.compile(r"\bssh\b.*\b(docker|systemctl|deploy|pull)\b|\bansible-playbook\b"), "remote host"),
)
_DEPLOY_ACTIONS = re.compile(
    r"^(azure/(webapps-deploy|k8s-deploy|functions-action|aci-deploy|container-apps-deploy-action)|"
    r"google-github-actions/deploy-\w+|aws-actions/amazon-(ecs-deploy\S*|eks\S*)|akhileshns/heroku-deploy|"
    r"appleboy/(ssh|scp)-action|superfly/flyctl-actions|pypa/gh-action-pypi-publish|jwalton/gh-ecr-push|"
    r"einaregilsson/beanstalk-deploy|deliverybot/helm|serverless/github-action|huggingface/hub-sync|"
    r"[\w.-]+/[\w.-]*heroku[\w.-]*deploy[\w.-]*|docker/build-push-action|nais/deploy\S*|digitalocean/app_action\S*|johnbeynon/render-deploy-action|"
    r"AzureWebApp|AzureFunctionApp|AzureRmWebAppDeployment|KubernetesManifest|HelmDeploy|Kubernetes|AzureWebAppContainer)\b",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Deployment:
    """Something that a pipeline ships."""

    what: str
    site: Site
    text: str


def commands_of(repo: Repo, step: Step, *, expand: bool = True) -> list[Command]:
    """Commands of a step; with `expand` also those behind tasks and scripts."""
    lines = {number for number, _ in step.lines}
    own = [c for c in _by_path(repo).get(step.file.path, []) if c.site.line in lines]
    if not expand:
        return own
    found = [inner for command in own for inner in repo.commands.expand(command)]
    return found + [inner for command in found for inner in _submitted(repo, command)]


def _submitted(repo: Repo, command: Command) -> Iterator[Command]:
    """Commands that a job description given to a scheduler names: `… submit job.yaml` with an entrypoint in it."""
    from ml_engineer.assessment.commands import Command as Found
    from ml_engineer.assessment.shell import simple

    for word in command.arguments:
        file = repo.files.get(word.removeprefix("./")) if word.endswith((".yaml", ".yml")) else None
        for document in repo.yaml(file).documents if file is not None else ():
            for key, node in document.walk():
                if key in ("entrypoint", "command", "run", "script", "cmd") and node.kind == "scalar":
                    for item in simple(node.text):
                        job = Found(node.text, item, node.site(), "ci", "", command.name)
                        yield from repo.commands.expand(job)


def _by_path(repo: Repo) -> dict[str, list[Command]]:
    found: dict[str, list[Command]] | None = repo.__dict__.get("_ci_commands")
    if found is None:
        found = repo.__dict__["_ci_commands"] = {}
        for command in repo.commands.of("ci"):
            found.setdefault(command.site.path, []).append(command)
    return found


def is_unknown(step: Step) -> bool:
    """Whether a step calls a pipeline that is kept elsewhere, so that what it does cannot be seen."""
    return step.uses is not None and _REMOTE_CALL.match(step.uses) is not None


def is_hidden(workflow: Workflow) -> bool:
    """Whether what a pipeline does is kept elsewhere, at least in part: reusable workflows, shared libraries."""
    if workflow.system == "jenkins":
        return not any(workflow.steps) or re.search(r"@Library|\blibrary\s*\(?['\"]", workflow.file.text) is not None
    return any(is_unknown(step) for step in workflow.steps)


def tests(repo: Repo, step: Step) -> bool:
    """Whether a step runs tests."""
    if step.uses is not None and _TEST_ACTION.search(step.uses):
        return True
    return any(is_test(repo, command) for command in commands_of(repo, step)) or tries(repo, step)


def tries(repo: Repo, step: Step) -> bool:
    """Whether a step that is called a test starts a program instead, so that its exit decides."""
    if not _TEST_STEP.match(step.name) or any(is_test(repo, command) for command in commands_of(repo, step)):
        return False
    decide = {number for number, text in step.lines if not _IN_ANY_CASE.search(text)}
    own = commands_of(repo, step, expand=False)
    return any(command.program not in _NOT_RUN and command.site.line in decide for command in own)


def is_test(repo: Repo, command: Command) -> bool:
    """Whether a command runs tests itself, or is a task named after them that cannot be followed."""
    program, words = command.program, command.words
    if program in _RUNNERS:
        return True
    if program in _NOT_RUN and not {"pytest"} & set(words[1:2]):
        return False
    arguments = command.arguments
    if program in _TASK_RUNNERS:
        unresolved = len(repo.commands.expand(command)) == 1
        named = any(_TEST_TASK.match(word) for word in arguments)
        session = program in ("tox", "nox") and (not arguments or any("$" in word for word in arguments))
        return unresolved and (named or session)
    if program == "pre-commit":
        return any("pytest" in file.text for file in repo.glob(".pre-commit-config.yaml"))
    if program in ("docker", "docker-compose", "podman"):
        return _runs(arguments) or _image_tests(repo, command)
    if program in ("npx", "coverage", "bash", "sh", "docker", "xvfb-run", "uvx", "pipx", "ssh", "srun", "cml", "modal"):
        return _runs(arguments) or any("pytest" in word for word in arguments)
    if program in ("setup.py", "manage.py") or any(w.endswith(("setup.py", "manage.py")) for w in words[:2]):
        return "test" in arguments or "test" in words
    if "pytest" in words and not {"install", "add"} & set(words):
        return True
    return any("test" in repo.files[path].roles for path in repo.commands.runs(command) if path in repo.files)


def _runs(arguments: Sequence[str]) -> bool:
    """Whether the words given to a wrapper name a test runner or a script of tests."""
    return any(word in _RUNNERS or _TEST_SCRIPT.search(word) for word in arguments)


def _image_tests(repo: Repo, command: Command) -> bool:
    """Whether an image build runs tests in one of its steps."""
    if not {"build", "buildx", "bake"} & set(command.words):
        return False
    return any(re.search(r"\b(pytest|unittest|tox|nox)\b", i.script) for d in repo.dockerfiles for i in d.instructions)


def runs_tests(repo: Repo, job: Job) -> Step | None:
    """The first step of a job that runs tests, or None."""
    return next((step for step in job.steps if tests(repo, step)), None)


def tested_workflows(repo: Repo) -> list[Workflow]:
    """Workflows of which some job runs tests."""
    found: list[Workflow] | None = repo.__dict__.get("_tested_workflows")
    if found is None:
        found = [w for w in repo.workflows if any(runs_tests(repo, job) is not None for job in w.jobs)]
        repo.__dict__["_tested_workflows"] = found
    return found


def deployment(repo: Repo, step: Step, *, on_own_host: bool = False) -> Deployment | None:
    """What a step ships, or None. Documentation pages are not meant.

    Containers that are started on the CI service's own machine are for a test; `on_own_host` says that it is one's own.
    """
    if step.uses is not None and (match := _DEPLOY_ACTIONS.match(step.uses)):
        push = step.inputs.get("push")
        if match[1].lower() == "docker/build-push-action" and (push is None or push.truth() is False):
            return None
        return Deployment(match[1].split("/")[-1], step.site(), step.uses)
    for command in commands_of(repo, step, expand=False):
        for inner in repo.commands.expand(command):
            what = ships(inner)
            if what is not None and (what != "containers" or on_own_host):
                return Deployment(what, command.site, inner.text)
    return None


def ships(command: Command) -> str | None:
    """What a single command ships, or None."""
    text = " ".join(command.words)
    if command.program in ("echo", "printf") or "--dry-run" in text:
        return None
    return next((label for pattern, label in _DEPLOY if pattern.match(text)), None)


def deployments(repo: Repo, workflow: Workflow) -> Iterator[tuple[Job, Step, Deployment]]:
    """Everything that a workflow ships."""
    for job in workflow.jobs:
        for step in job.steps:
            found = deployment(repo, step, on_own_host="self-hosted" in job.runs_on)
            if found is not None:
                yield job, step, found
