"""Pipelines of CI services, in one shape: workflow, jobs, steps with the lines they run.

`find_workflows(repo)` (as `repo.workflows`) reads GitHub Actions, GitLab CI, Azure Pipelines, CircleCI, Travis,
Bitbucket, Cloud Build, Drone/Woodpecker (YAML) and Jenkinsfiles (by the text of their `sh` steps).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ml_engineer.assessment.files import File
from ml_engineer.assessment.manifests import Node
from ml_engineer.assessment.rule import Site

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

# System -> patterns of the files it reads.
SYSTEMS = {
    "github": (".github/workflows/*.yml", ".github/workflows/*.yaml"),
    "gitlab": (".gitlab-ci.yml", ".gitlab-ci.yaml"),
    "azure": (
        "azure-pipelines*.yml", "azure-pipelines*.yaml", ".azure-pipelines/**/*.yml", ".azure/pipelines/*.yml",
        ".pipelines/**/*.yml", "azure-pipelines/**/*.yml", ".azuredevops/**/*.yml",
    ),
    "circleci": (".circleci/config.yml", ".circleci/config.yaml"),
    "travis": (".travis.yml",),
    "bitbucket": ("bitbucket-pipelines.yml",),
    "cloudbuild": ("cloudbuild*.yaml", "cloudbuild*.yml", "**/cloudbuild/*.yaml", "**/.cloudbuild/*.yaml"),
    "drone": (".drone.yml", ".woodpecker.yml", ".woodpecker/*.yml", ".woodpecker/*.yaml"),
    "codebuild": ("buildspec*.yml", "buildspec*.yaml"),
    "jenkins": ("Jenkinsfile*", "*.jenkinsfile"),
}  # fmt: skip
_GITLAB_WORDS = frozenset(
    "image services stages types before_script after_script variables cache include default workflow pages".split()
)
_SH = re.compile(r"""\b(?:sh|bat|powershell)\b\s*(?:\(?\s*(?:script\s*:\s*)?)('''|\"\"\"|'|")""")
# A pipeline that consists of these words alone builds and ships images, and runs nothing of the repository.
_GROOVY_WORD = re.compile(r"(?m)^\s*(?:\w+\s*=\s*)?([A-Za-z_][\w.]*)\s*[({'\"]")
_KNOWN_GROOVY = re.compile(
    r"pipeline|agent|environment|stages|stage|steps|script|post|always|success|failure|options|triggers|parameters|when|"
    r"git|checkout|echo|dir|cleanWs|node|tools|withCredentials|docker\.\w+|\w*[iI]mage\.\w+|kubernetesDeploy|pollSCM|cron|"
    r"buildDiscarder|logRotator|timeout|disableConcurrentBuilds|branch|label|string|booleanParam|credentials"
)
_PLUGIN = re.compile(r"\b(docker\.build|docker\.withRegistry|kubernetesDeploy)\b")
_STAGE = re.compile(r"""\bstage\s*\(?\s*['"]([^'"]+)['"]""")


@dataclass(eq=False, slots=True)
class Step:
    """A step: either a script (`lines`: number and text) or an action (`uses`)."""

    file: File
    line: int
    line_end: int
    name: str = ""
    uses: str | None = None
    inputs: dict[str, Node] = field(default_factory=dict)
    lines: list[tuple[int, str]] = field(default_factory=list)
    may_fail: Node | None = None  # what lets it fail without failing the job
    condition: str = ""
    folder: str = ""  # working directory
    node: Node | None = None

    @property
    def script(self) -> str:
        return "\n".join(text for _, text in self.lines)

    def site(self) -> Site:
        return self.file.site(self.line, self.line_end, anchor=self.name or self.uses or "")


@dataclass(eq=False, slots=True)
class Job:
    """A job. `needs` are names of jobs that must have succeeded before; stages of a pipeline are turned into needs."""

    workflow: Workflow
    name: str
    line: int
    steps: list[Step] = field(default_factory=list)
    needs: tuple[str, ...] = ()
    condition: str = ""
    environment: Node | None = None
    runs_on: tuple[str, ...] = ()
    may_fail: Node | None = None
    manual: bool = False  # a person starts it
    node: Node | None = None

    def site(self) -> Site:
        return self.workflow.file.site(self.line, anchor=f"job/{self.name}")

    def before(self) -> Iterator[Job]:
        """Every job that must have succeeded before this one."""
        by_name = {job.name: job for job in self.workflow.jobs}
        stack, seen = list(self.needs), set()
        while stack:
            name = stack.pop()
            if name in by_name and name not in seen:
                seen.add(name)
                yield by_name[name]
                stack.extend(by_name[name].needs)


@dataclass(eq=False)
class Workflow:
    """One pipeline file. `triggers` are event names: push, pull_request, schedule, workflow_dispatch, release, tag …"""

    file: File
    system: str
    root: Node | None
    jobs: list[Job] = field(default_factory=list)
    triggers: dict[str, Node | None] = field(default_factory=dict)

    @property
    def steps(self) -> Iterator[Step]:
        for job in self.jobs:
            yield from job.steps

    def site(self) -> Site:
        """The first line that says something: the job list of a pipeline, else the top."""
        return self.file.site(self.jobs[0].line if self.jobs else 1)


def find_workflows(repo: Repo) -> list[Workflow]:
    """Every pipeline of the repository, by path. Only files where their CI service looks for them."""
    found = []
    for system, patterns in SYSTEMS.items():
        for file in repo.glob(*patterns):
            if system in ("gitlab", "travis", "circleci", "bitbucket", "drone") and file.path.count("/") > 1:
                continue
            if file.path.startswith(".github/") and system != "github":
                continue
            if system == "jenkins":
                found.append(_jenkins(file))
                continue
            documents = repo.yaml(file).documents
            workflow = Workflow(file, system, documents[0] if documents else None)
            for document in documents:
                if document.kind == "map":
                    _READERS[system](repo, workflow, document)
            found.append(workflow)
    return sorted(found, key=lambda workflow: workflow.file.path)


# --- GitHub -----------------------------------------------------------------------------------------------------------


def _github(repo: Repo, workflow: Workflow, root: Node) -> None:
    on = root.get("on") or root.get("true")
    if on is not None:
        workflow.triggers = dict(on.entries) if on.kind == "map" else dict.fromkeys(on.strings())
    default = root.get("defaults", "run", "working-directory")
    jobs = root.get("jobs")
    for name, node in jobs.entries.items() if jobs is not None else ():
        job = Job(workflow, name, node.key_line or node.line, node=node)
        job.needs = tuple(_strings(node.get("needs")))
        job.condition = _text(node.get("if"))
        job.environment = node.get("environment")
        job.runs_on = tuple(_strings(node.get("runs-on")))
        job.may_fail = _true(node.get("continue-on-error"))
        folder = node.get("defaults", "run", "working-directory") or default
        steps = node.get("steps")
        for item in steps.items if steps is not None else []:
            if item.kind == "map":
                job.steps.extend(_github_steps(repo, workflow.file, item, folder))
        called = node.get("uses")
        if called is not None:
            job.steps.extend(_called(repo, Step(workflow.file, called.line, called.line, name, called.text, node=node)))
        workflow.jobs.append(job)


def _github_steps(repo: Repo, file: File, item: Node, folder: Node | None, depth: int = 0) -> Iterator[Step]:
    """A step, followed by the steps of the local composite action that it uses."""
    step = _github_step(file, item, folder)
    yield step
    if step.uses is None or not step.uses.startswith("./") or depth > 3:
        return
    path = posixpath.normpath(step.uses)
    action = repo.files.get(f"{path}/action.yml") or repo.files.get(f"{path}/action.yaml")
    for document in repo.yaml(action).documents if action is not None else ():
        inner = document.get("runs", "steps")
        for node in inner.items if inner is not None else []:
            if node.kind == "map":
                yield from _github_steps(repo, action or file, node, None, depth + 1)


def _called(repo: Repo, step: Step) -> Iterator[Step]:
    """A call of a reusable workflow, followed by its steps where it is a local one."""
    yield step
    local = repo.files.get(posixpath.normpath(step.uses)) if step.uses and step.uses.startswith("./") else None
    for document in repo.yaml(local).documents if local is not None else ():
        jobs = document.get("jobs")
        for job in jobs.entries.values() if jobs is not None else ():
            steps = job.get("steps")
            for item in steps.items if steps is not None else []:
                if item.kind == "map" and local is not None:
                    yield from _github_steps(repo, local, item, None)


def _github_step(file: File, item: Node, folder: Node | None) -> Step:
    uses, run, inputs = item.get("uses"), item.get("run"), item.get("with")
    anchor = run or uses or item
    step = Step(file, anchor.line, min(anchor.line_end, anchor.line + 5), _text(item.get("name")), node=item)
    step.uses = uses.text if uses is not None else None
    step.inputs = dict(inputs.entries) if inputs is not None else {}
    step.lines = run.lines() if run is not None else []
    step.may_fail = _true(item.get("continue-on-error"))
    step.condition = _text(item.get("if"))
    step.folder = _text(item.get("working-directory") or folder).removeprefix("./").strip("/")
    return step


# --- GitLab -----------------------------------------------------------------------------------------------------------


def _gitlab(repo: Repo, workflow: Workflow, root: Node) -> None:
    stages = _strings(root.get("stages")) or ["build", "test", "deploy"]
    order = {".pre": -1, **{name: number for number, name in enumerate(stages)}, ".post": len(stages)}
    ranks: dict[str, int] = {}
    for name, node in root.entries.items():
        if name in _GITLAB_WORDS or node.kind != "map" or name.startswith("."):
            continue
        extended = [root.get(base) for base in _strings(node.get("extends"))]
        sources = [node, *(base for base in extended if base is not None)]
        job = Job(workflow, name, node.key_line or node.line, node=node)
        for key in ("before_script", "script", "after_script"):
            script = next((s.get(key) for s in sources if s.get(key) is not None), None)
            script = script or (root.get(key) if key != "script" else None)
            _script_steps(job, script)
        explicit = node.get("needs")
        job.environment = node.get("environment")
        job.may_fail = _true(node.get("allow_failure"))
        job.manual = any(k == "when" and v.text == "manual" for k, v in node.walk())
        ranks[name] = order.get(_text(next((s.get("stage") for s in sources if s.get("stage")), None)) or "test", 1)
        if explicit is not None:
            job.needs = tuple(_text(i if i.kind == "scalar" else i.get("job")) for i in explicit.items)
        workflow.jobs.append(job)
    for job in workflow.jobs:
        if job.node is not None and job.node.get("needs") is None:
            job.needs = tuple(other for other, rank in ranks.items() if rank < ranks[job.name])
    for _, node in root.walk():
        if "schedule" in node.text and "CI_PIPELINE_SOURCE" in node.text:
            workflow.triggers["schedule"] = node
    workflow.triggers.setdefault("push", None)


# --- Azure, CircleCI, Travis, Bitbucket, Cloud Build, Drone, CodeBuild ------------------------------------------------


def _azure(repo: Repo, workflow: Workflow, root: Node) -> None:
    trigger, pull, schedules = root.get("trigger"), root.get("pr"), root.get("schedules")
    is_template = not {"trigger", "pr", "schedules", "resources", "pool", "stages"} & set(root.entries)
    if not is_template and (trigger is None or trigger.text != "none"):
        workflow.triggers["push"] = trigger
    if pull is not None and pull.text != "none":
        workflow.triggers["pull_request"] = pull
    if schedules is not None:
        workflow.triggers["schedule"] = schedules
    stages = root.get("stages")
    previous: list[str] = []
    for stage in stages.items if stages is not None else [root]:
        jobs = stage.get("jobs")
        names = []
        for node in jobs.items if jobs is not None else [stage]:
            label = node.get("job") or node.get("deployment") or stage.get("stage")
            job = Job(workflow, _text(label) or "steps", (label or node).line, node=node)
            depends = node.get("dependsOn")
            job.needs = (*_strings(depends), *previous)
            job.environment = node.get("environment")
            job.condition = _text(node.get("condition"))
            _azure_steps(repo, job, node, workflow.file)
            if job.steps:
                workflow.jobs.append(job)
                names.append(job.name)
        if stages is not None:
            previous = [*previous, *names]


def _azure_steps(repo: Repo, job: Job, node: Node, file: File, depth: int = 0) -> None:
    """Steps below a node, those of local templates included."""
    for key, steps in node.walk():
        if key == "steps" and steps.kind == "list":
            for item in steps.items:
                _azure_step(job, item)
        elif key == "template" and steps.kind == "scalar" and depth < 3:
            path = posixpath.normpath(posixpath.join(file.folder, steps.text.lstrip("/")))
            template = repo.files.get(path) or repo.files.get(steps.text.lstrip("/"))
            for document in repo.yaml(template).documents if template is not None else ():
                _azure_steps(repo, job, document, template or file, depth + 1)


def _azure_step(job: Job, item: Node) -> None:
    script = item.get("script") or item.get("bash") or item.get("pwsh") or item.get("powershell")
    task = item.get("task")
    inline = item.get("inputs", "script") or item.get("inputs", "inlineScript")
    anchor = script or task
    if anchor is None:
        return
    step = Step(anchor.file, anchor.line, min(anchor.line_end, anchor.line + 5), node=item)
    step.name = _text(item.get("displayName"))
    step.uses = task.text if task is not None else None
    given = item.get("inputs")
    step.inputs = dict(given.entries) if given is not None else {}
    step.lines = [*(script.lines() if script else []), *(inline.lines() if inline else [])]
    step.may_fail = _true(item.get("continueOnError"))
    step.folder = _text(item.get("workingDirectory")).removeprefix("./").strip("/")
    job.steps.append(step)


def _circleci(repo: Repo, workflow: Workflow, root: Node) -> None:
    jobs = root.get("jobs")
    needs: dict[str, set[str]] = {}
    manual: set[str] = set()
    flows = root.get("workflows")
    for flow in flows.entries.values() if flows is not None else ():
        listed = flow.get("jobs")
        for item in listed.items if listed is not None else []:
            for name, settings in item.entries.items():
                needs.setdefault(name, set()).update(_strings(settings.get("requires")))
                if _text(settings.get("type")) == "approval":
                    manual.add(name)
        if any(_text(t.get("schedule", "cron")) for t in (flow.get("triggers") or flow).items):
            workflow.triggers["schedule"] = flow
    workflow.triggers.setdefault("push", None)
    for name, node in jobs.entries.items() if jobs is not None else ():
        job = Job(workflow, name, node.key_line or node.line, node=node, needs=tuple(sorted(needs.get(name, ()))))
        job.manual = any(need in manual for need in job.needs)
        steps = node.get("steps")
        for item in steps.items if steps is not None else []:
            run = item.get("run")
            script = run if run is not None and run.kind == "scalar" else item.get("run", "command")
            if script is not None:
                step = Step(workflow.file, script.line, min(script.line_end, script.line + 5), node=item)
                step.lines = script.lines()
                step.name = _text(item.get("run", "name"))
                job.steps.append(step)
            elif item.kind == "map" and item.entries:
                job.steps.append(Step(workflow.file, item.line, item.line, uses=next(iter(item.entries)), node=item))
        workflow.jobs.append(job)


def _travis(repo: Repo, workflow: Workflow, root: Node) -> None:
    workflow.triggers = {"push": None, "pull_request": None}
    job = Job(workflow, "travis", (root.get("script") or root).line, node=root)
    for key in ("before_install", "install", "before_script", "script", "after_success", "before_deploy"):
        _script_steps(job, root.get(key))
    listed = root.get("jobs", "include") or root.get("matrix", "include")
    stages: list[str] = []
    for item in listed.items if listed is not None else []:
        if item.kind == "map" and item.get("script") is not None:
            name = _text(item.get("stage")) or (stages[-1] if stages else "test")
            stages += [name] if name not in stages else []
            own = Job(workflow, name, item.line, node=item, needs=tuple(stage for stage in stages if stage != name))
            if name != "test" and job.steps:
                own.needs += (job.name,)  # the script at the top is the stage called test, which comes first
            own.condition = _text(item.get("if"))
            for key in ("before_install", "install", "before_script", "script", "after_success", "before_deploy"):
                _script_steps(own, item.get(key))
            workflow.jobs.append(own)
    if job.steps or not stages:
        workflow.jobs.append(job)
    deploy = root.get("deploy")
    if deploy is not None:
        last = Job(workflow, "deploy", deploy.key_line or deploy.line, node=deploy, needs=("travis",))
        for node in deploy.items if deploy.kind == "list" else [deploy]:
            _script_steps(last, node.get("script"))
            last.steps.append(Step(workflow.file, node.line, node.line, uses=_text(node.get("provider")), node=node))
        workflow.jobs.append(last)


def _bitbucket(repo: Repo, workflow: Workflow, root: Node) -> None:
    workflow.triggers = {"push": None}
    pipelines = root.get("pipelines")
    earlier: list[str] = []
    for key, node in pipelines.walk() if pipelines is not None else ():
        if key == "step" and node.kind == "map":
            job = Job(workflow, _text(node.get("name")) or f"step {node.line}", node.key_line or node.line, node=node)
            job.needs = tuple(earlier)
            job.manual = _text(node.get("trigger")) == "manual"
            _script_steps(job, node.get("script"))
            earlier.append(job.name)
            workflow.jobs.append(job)


def _cloudbuild(repo: Repo, workflow: Workflow, root: Node) -> None:
    steps = root.get("steps")
    if steps is None:
        return
    workflow.triggers = {"push": None}
    job = Job(workflow, "build", steps.key_line or steps.line, node=root)
    for item in steps.items:
        name, script = item.get("name"), item.get("script")
        words = [*_strings(item.get("entrypoint")), *_strings(item.get("args"))]
        tool = _text(name).rpartition("/")[2].partition(":")[0]
        text = " ".join(words if item.get("entrypoint") is not None else [tool, *words])
        step = Step(workflow.file, item.line, item.line, _text(item.get("id")), _text(name), node=item)
        step.lines = script.lines() if script is not None else [(item.line, text)]
        step.folder = _text(item.get("dir"))
        job.steps.append(step)
    workflow.jobs.append(job)


def _drone(repo: Repo, workflow: Workflow, root: Node) -> None:
    workflow.triggers.setdefault("push", None)
    steps = root.get("steps") or root.get("pipeline")
    if steps is None:
        return
    job = Job(workflow, _text(root.get("name")) or f"pipeline {len(workflow.jobs)}", steps.key_line, node=root)
    for item in steps.children:
        if item.kind == "map":
            _script_steps(job, item.get("commands"))
    workflow.jobs.append(job)


def _codebuild(repo: Repo, workflow: Workflow, root: Node) -> None:
    phases = root.get("phases")
    if phases is None:
        return
    workflow.triggers = {"push": None}
    job = Job(workflow, "build", phases.key_line or phases.line, node=root)
    for phase in phases.entries.values():
        _script_steps(job, phase.get("commands"))
    workflow.jobs.append(job)


def _jenkins(file: File) -> Workflow:
    """A Jenkinsfile is Groovy: its stages and the text of its `sh` steps are read, nothing else."""
    workflow = Workflow(file, "jenkins", None, triggers={"push": None})
    text = file.text
    if re.search(r"\bcron\s*\(", text):
        workflow.triggers["schedule"] = None
    job = Job(workflow, "pipeline", 1)
    workflow.jobs.append(job)
    position = 0
    while match := _SH.search(text, position):
        end = text.find(match[1], match.end())
        end = len(text) if end < 0 else end
        stages = list(_STAGE.finditer(text, 0, match.start()))
        name = stages[-1][1] if stages else "pipeline"
        if name != job.name:
            first = text.count("\n", 0, stages[-1].start()) + 1
            needs = tuple(earlier.name for earlier in workflow.jobs if earlier.steps)
            job = Job(workflow, name, first, needs=needs)
            workflow.jobs.append(job)
            between = text[stages[-1].start() : match.start()]
            job.manual = re.search(r"\binput\b\s*[({'\"]", between) is not None
        first_line = text.count("\n", 0, match.end()) + 1
        body = text[match.end() : end].split("\n")
        step = Step(file, first_line, first_line + min(len(body) - 1, 5), name)
        step.lines = [(first_line + n, line.strip()) for n, line in enumerate(body) if line.strip()]
        job.steps.append(step)
        position = end + len(match[1])
    if not job.steps and all(_KNOWN_GROOVY.fullmatch(word) for word in _GROOVY_WORD.findall(text)):
        for match in _PLUGIN.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            job.steps.append(Step(file, line, line, uses=match[0]))
    workflow.jobs = [j for j in workflow.jobs if j.steps] or workflow.jobs[:1]
    return workflow


# --- shared -----------------------------------------------------------------------------------------------------------


def _script_steps(job: Job, script: Node | None) -> None:
    """One step for each entry of a list of commands (or for the one text)."""
    for node in script.items if script is not None and script.kind == "list" else [script]:
        if node is None or node.is_null:
            continue
        if node.kind == "list":
            _script_steps(job, node)
        elif node.kind == "scalar":
            step = Step(job.workflow.file, node.line, min(node.line_end, node.line + 5), node=node)
            step.lines = node.lines()
            job.steps.append(step)


def _text(node: Node | None) -> str:
    return node.text if node is not None and not node.is_null else ""


def _strings(node: Node | None) -> list[str]:
    return node.strings() if node is not None else []


def _true(node: Node | None) -> Node | None:
    """The node, where it is set to anything but false."""
    return node if node is not None and not node.is_null and node.truth() is not False else None


_READERS = {
    "github": _github,
    "gitlab": _gitlab,
    "azure": _azure,
    "circleci": _circleci,
    "travis": _travis,
    "bitbucket": _bitbucket,
    "cloudbuild": _cloudbuild,
    "drone": _drone,
    "codebuild": _codebuild,
}
