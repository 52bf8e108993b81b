"""The routes: which cue sends a question to which peer. Data only; `routing` decides by it, `graph` draws it.

A cue fires by findings (rule ids, or every rule of a step), by the state of the report's fields, or by words of the
task. What is in the ML engineer's own trade (a swallowed error, an unpinned dependency) has no cue: fixing it is
quicker than asking. `weight` is for gaps whose rule is only of medium severity, since it is one of many, but which
leave a whole area uncovered: there the question outweighs the finding.
This module stays free of pydantic, so that `ml-engineer peers` starts fast.
"""

from __future__ import annotations

from dataclasses import dataclass

ABSENT = "absent"
PRESENT = "present"


@dataclass(frozen=True, slots=True)
class Cue:
    """One reason to ask one peer.

    `rules` and `steps`: a finding of any of them triggers, with its own severity or `weight`, whichever is worse.
    `fields`: all of them must be in the given state, and every rule of `given` must have found something; they trigger
    with `field_weight`. `words`: regular expressions; one of them in the task triggers at any threshold, as the user
    has asked.
    """

    id: str
    peer: str
    name: str
    question: str
    expected: str
    rules: tuple[str, ...] = ()
    steps: tuple[int, ...] = ()
    weight: str | None = None
    fields: tuple[tuple[str, str], ...] = ()
    given: tuple[str, ...] = ()
    field_weight: str = "medium"
    words: tuple[str, ...] = ()


CUES: tuple[Cue, ...] = (
    # --- prototype model development ------------------------------------------------------------------------------
    Cue(
        id="tainted-evaluation",
        peer="data-scientist",
        name="the figures of quality cannot be trusted",
        question="Which of the model's figures still hold once the places below are repaired, and how must this data "
        "be split (at random, by time, by entity) so that the figure means what it says?",
        expected="a verdict on each figure, the split as columns and cut-offs, and the command that evaluates again",
        rules=("MLE0101", "MLE0102", "MLE0103", "MLE0104", "MLE0105", "MLE0106", "MLE0107", "MLE0108", "MLE0117",
               "MLE0118"),
    ),
    Cue(
        id="unknown-quality",
        peer="data-scientist",
        name="nothing says whether the model is good enough",
        question="Which metric, on which rows and against which baseline, tells whether this model is good enough to "
        "serve?",
        expected="metric, baseline, slices and the smallest acceptable value, with the code that computes them",
        rules=("MLE0109", "MLE0110"),
        fields=(("Accuracy", ABSENT),),
        field_weight="high",
    ),
    Cue(
        id="unfinished-prototype",
        peer="data-scientist",
        name="the prototype is not finished",
        question="Which notebook or script, run in which order, makes the model that is meant for production, and "
        "which parts are exploration that should not be carried over?",
        expected="the intended training path as a list of cells or calls, and what may be dropped",
        rules=("MLE0201", "MLE0302", "MLE0416"),
        words=(r"prototyp\w+ (a |another |new )", r"\b(new|another|better) model\b", r"\btrain (a|an) (new|first)\b",
               r"feature engineering", r"model selection", r"hyper-?parameter", r"overfit", r"data leak", r"leakage",
               r"(improve|raise|increase|better)\b.{0,30}\b(accuracy|recall|precision|auc|f1|quality of the model)",
               r"class(es)? (are )?(im|un)balanced?"),
    ),
    Cue(
        id="faulty-training",
        peer="data-scientist",
        name="training learns something else than intended",
        question="The training loop has the faults below. Was the stored model trained with them, and what does a run "
        "without them change?",
        expected="whether the stored model must be replaced, and the comparison of a repaired run with it",
        rules=("MLE0404", "MLE0405", "MLE0406", "MLE0407"),
    ),
    # --- data pipelines -------------------------------------------------------------------------------------------
    Cue(
        id="no-data-pipeline",
        peer="data-engineer",
        name="data reaches training by hand, or by a broken pipeline",
        question="How should the data get from its sources to training without a person in between, and what makes a "
        "second run give the same rows?",
        expected="the pipeline as tasks with inputs, outputs and triggers, and the first step that makes it repeatable",
        rules=("MLE0411", "MLE0414", "MLE0417"),
        weight="high",
        fields=(("Data Sources", PRESENT), ("Data Prep / Automation", ABSENT), ("Data Prep / Monitoring", ABSENT)),
        field_weight="high",
        words=(r"data pipeline", r"\betl\b", r"\belt\b", r"ingest", r"\bairflow\b", r"\bdagster\b", r"\bprefect\b",
               r"data ?(ware|lake)house", r"data (warehouse|lake)", r"\bkafka\b", r"back-?fill", r"feature store",
               r"data (source|quality|contract)s?\b"),
    ),
    Cue(
        id="unchecked-data",
        peer="data-engineer",
        name="data is neither checked nor versioned",
        question="What must hold of the training and request data (columns, types, ranges, categories), where is that "
        "checked, and how is a training set kept so that it can be had again?",
        expected="a data contract as code for both edges, and how data is versioned",
        rules=("MLE0412", "MLE0413", "MLE1008", "MLE1009"),
    ),
    Cue(
        id="lost-predictions",
        peer="data-engineer",
        name="predictions and outcomes are not kept",
        question="Where should predictions, the features they were made from and later the outcomes be stored, so that "
        "they can be joined and trained on?",
        expected="a schema with keys and partitions, and what the handler has to write",
        rules=("MLE0702", "MLE0704"),
    ),
    # --- deployment automation ------------------------------------------------------------------------------------
    Cue(
        id="container-faults",
        peer="devops-engineer",
        name="the image does not build, start or belong in production",
        question="What must change in the image and its start command so that it builds from this repository, starts, "
        "and is fit to be published?",
        expected="a diff of the Dockerfile and compose files, and the commands that show that it builds and starts",
        rules=("MLE0519", "MLE0520", "MLE0521", "MLE0522", "MLE0523", "MLE0525"),
        words=(r"\bdocker", r"\bcontainer", r"\bimage build"),
    ),
    Cue(
        id="workload-faults",
        peer="devops-engineer",
        name="the infrastructure files have faults",
        question="What must change in the manifests and compose files below so that the workload starts, stays up and "
        "holds no secret?",
        expected="corrected files, the command that validates them, and what has to be rotated",
        steps=(9,),
        words=(r"\bkubernetes\b", r"\bk8s\b", r"\bhelm\b", r"\bmanifests?\b"),
    ),
    Cue(
        id="leaked-secret",
        peer="devops-engineer",
        name="a secret is in the repository",
        question="Which credentials must be revoked, where will they come from, and what keeps the next one out?",
        expected="what to rotate, in which order, and the check that stops a secret before it is committed",
        rules=("MLE1010",),
    ),
    Cue(
        id="no-ci",
        peer="devops-engineer",
        name="nothing tests or ships a change",
        question="Which pipeline should test each change and ship it, and what must a model pass before its release?",
        expected="the pipeline's file, its jobs and gates, and the rights that it needs",
        rules=("MLE0801",),
        weight="high",
        words=(r"\bci\b", r"ci/cd", r"continuous (integration|delivery|deployment)", r"github actions", r"gitlab",
               r"deployment automation", r"automat\w+ (the )?(deploy|release)", r"\broll ?(out|back)", r"blue.green",
               r"\bcanary\b"),
    ),
    Cue(
        id="ci-faults",
        peer="devops-engineer",
        name="the pipeline lets bad or hostile changes through",
        question="How must the pipeline change so that a failing test stops it, nothing ships untested, and text from "
        "outside reaches no shell?",
        expected="corrected workflow files, and for each finding what now stops it",
        rules=("MLE0802", "MLE0803", "MLE0804", "MLE0805", "MLE0806", "MLE0807", "MLE0808", "MLE0809"),
    ),
    Cue(
        id="no-packaging",
        peer="devops-engineer",
        name="the service is not packaged for deployment",
        question="How should this service be packaged and started, with which health check, and how is it taken back?",
        expected="a Dockerfile or service definition, the command that starts it, and the rollback",
        rules=("MLE0527",),
        weight="high",
    ),
    Cue(
        id="no-rollback",
        peer="devops-engineer",
        name="there is no way back to an earlier model",
        question="How is a bad model taken out of service, by whom, and within what time?",
        expected="the mechanism, the command, and what it does not undo",
        rules=("MLE0516",),
        fields=(("Rollback Strategy", ABSENT), ("Infrastructure", PRESENT)),
    ),
    # --- infrastructure design ------------------------------------------------------------------------------------
    Cue(
        id="no-infrastructure",
        peer="cloud-architect",
        name="a service without a place to run",
        question="Where should this service run, in which pattern (online, batch, stream, edge), and what decides it?",
        expected="one recommended pattern with its runner-up, and the requirements that are missing",
        fields=(("API Endpoints", PRESENT), ("Infrastructure", ABSENT)),
        field_weight="high",
        words=(r"\barchitect", r"\bcloud\b", r"\baws\b", r"\bgcp\b", r"\bazure\b", r"sagemaker", r"vertex ai",
               r"serverless", r"\blambda\b", r"terraform", r"multi.region", r"\bedge\b"),
    ),
    Cue(
        id="unknown-capacity",
        peer="cloud-architect",
        name="load, latency and cost are not known",
        question="How many instances of which size does this service need, what adds and removes one, and what drives "
        "its running cost?",
        expected="capacity with its arithmetic, the cost as a formula, and the figures that the owner must supply",
        rules=("MLE0609", "MLE0901", "MLE0905", "MLE0907", "MLE0512"),
        fields=(("Latency", ABSENT), ("Throughput", ABSENT), ("Resource Usage", ABSENT), ("Infrastructure", PRESENT)),
        words=(r"(running|hosting|cloud|gpu|serving|infrastructure) costs?", r"costs? of (running|hosting|serving)",
               r"auto-?scal", r"\bscal(e|es|ing|able) to\b", r"capacity", r"million (requests|users)",
               r"requests (per|a) second", r"\bsizing\b"),
    ),
    # --- operational monitoring -----------------------------------------------------------------------------------
    Cue(
        id="blind-operation",
        peer="aiops-specialist",
        name="nobody would notice that the model fails",
        question="Which signals, on the service, the inputs, the predictions and the outcomes, show that this model "
        "fails, and at what value is who told?",
        expected="signals with name, type and place in the code, drift tests with thresholds, alerts with an action",
        rules=("MLE0701", "MLE0703"),
        weight="high",
        words=(r"\bmonitor", r"\balert", r"\bdrift", r"observab", r"\bslos?\b", r"on.call", r"\bincident",
               r"prometheus", r"grafana", r"anomal(y|ies) in production", r"runbook"),
    ),
    Cue(
        id="broken-monitoring",
        peer="aiops-specialist",
        name="metrics, dashboards and alerts do not meet",
        question="Which emitted metrics does no alert look at, which do dashboards and alerts ask for that nothing "
        "emits, and what should be watched instead?",
        expected="corrected rules, and for each signal what emits it",
        rules=("MLE0708",),
        weight="high",
    ),
    Cue(
        id="unseen-degradation",
        peer="aiops-specialist",
        name="quality in operation is not watched",
        question="How does anybody learn that the model's quality has fallen, given when the outcomes become known?",
        expected="the measure, its delay, the proxy until then, and the alert",
        fields=(("Monitoring Stack", PRESENT), ("Performance Degradation", ABSENT), ("Feedback Loops", ABSENT)),
        field_weight="high",
    ),
    # --- business alignment ---------------------------------------------------------------------------------------
    Cue(
        id="no-success-criterion",
        peer="ai-strategist",
        name="no stated purpose and no measure of success",
        question="Which decision does this model serve, which figure should it move, what does either kind of error "
        "cost, and at what value is it switched off?",
        expected="a statement of use, success criteria that can be checked, and the questions for the owner",
        fields=(("Feedback Loops", ABSENT), ("A/B Testing", ABSENT)),
        given=("MLE0111",),
        field_weight="high",
        words=(r"\bbusiness", r"\bkpis?\b", r"\broi\b", r"stakeholder", r"\brevenue", r"success criteri", r"use case",
               r"\bai act\b", r"\bgdpr\b", r"regulat", r"complian", r"\bfair(ness)?\b", r"\bethic", r"\bbias(ed)?\b",
               r"worth (it|building|doing)"),
    ),
)  # fmt: skip

PEERS: tuple[str, ...] = tuple(dict.fromkeys(cue.peer for cue in CUES))
