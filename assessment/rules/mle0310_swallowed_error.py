"""M3-10: broad handlers that hide an error on the way of data, training or a request."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_engineer.assessment import serving
from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import HIGH, MEDIUM, Hit, SeverityName, rule
from ml_engineer.assessment.values import return_values

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Function, Module
    from ml_engineer.assessment.repo import Repo

_BROAD = re.compile(r"^(builtins\.)?(Base)?Exception$")
# What ends the program, answers with an error, or tells the user.
_LEAVES = re.compile(
    r"(^|\.)(exit|_exit|abort|quit|fail|stop|send_error|set_status|set_code|set_details|HTTPException|flash|error|exception)$"
)
_LOGS = re.compile(
    r"(^|\.)(print|pprint|debug|info|warning|warn|error|exception|critical|log|write|print_exc|echo|secho)$"
)
_CLEANUP = re.compile(
    r"(^|\.)(remove|unlink|rmtree|rmdir|close|shutdown|terminate|kill|join|cleanup|empty_cache|disconnect|release|quit|"
    r"makedirs|mkdir|title|show|savefig|finish|end_run|flush|sleep|cancel|set_start_method|use|font|setlocale|stop)$"
)
_LAST = re.compile(r"(__del__|__a?exit__|close|shutdown)$|_*clean_?up")
_SIDE_WORK = re.compile(r"cache|redis|notif|e?mail|metric|audit|history|publish|emit|telemetry|webhook|log_", re.I)
_TRACKING = re.compile(
    r"^(wandb|mlflow|dvclive|neptune|comet_ml|clearml|matplotlib|seaborn|nltk\.download|sentry_sdk|IPython)\b"
)
_MADE_UP = re.compile(r"(synthetic|dummy|fake|mock|random|sample|demo|generate|make_|default|fallback)", re.I)
_LOADED = re.compile(r"load|read|open|fetch", re.I)
_BLANK = re.compile(r"(numpy|torch|tensorflow)\.(zeros|ones|full|empty|randn?|random\.\w+)(_like)?$")
_FIGURE = re.compile(r"(^|_)(auc|acc|accuracy|f1|precision|recall|iou|dice|score|r2|rmse|mae)(_|$)", re.I)
_STAND_IN = re.compile(r"(^|\.)_?(dummy|fake|mock|stub)\w*$", re.I)
_READS = re.compile(r"(^|\.)(read_\w+|load\w*|fetch\w*|get_data\w*|open|download\w*|query\w*|toPandas|sql)$")
_KEEPS = re.compile(r"cache|encoding|engine=|\.(dump|save|to_\w+)\(", re.I)  # a copy of the same, or another way to it
# A body of which the framework makes an answer with status 200.
_BODIES = re.compile(
    r"(flask|quart)\.jsonify$|(fastapi|starlette)\.responses\.\w*JSONResponse$|(builtins\.)?(str|dict|repr)$"
)
_SUCCESS = "Any error is answered with status 200"
_MISTAKEN = (
    "Clients, probes and dashboards take every failure for an answer.",
    "Return the status with the body: 4xx for the client's input, 500 for the rest.",
)
_ASKS = re.compile(r"\.(predict|predict_proba|decision_function|forecast)$")
_OF_AN_ERROR = re.compile(r"error|fail|exception|invalid|unable|could not|went wrong", re.I)


def _has_paths(repo: Repo) -> bool:
    return bool(repo.closure("train", "serve", "predict", "evaluate"))


@dataclass(frozen=True, slots=True)
class _Case:
    handler: ast.ExceptHandler
    severity: SeverityName
    title: str
    why: str | None = None
    remedy: str | None = None


@rule(
    id="MLE0310",
    name="swallowed-error",
    step=3,
    severity=MEDIUM,
    title="Any error is passed over in silence",
    why="Whatever goes wrong here, the program goes on with missing or wrong data, and nobody learns of it.",
    remedy="Catch the exception that is expected, log it, and re-raise or answer with an error for everything else.",
    source="bandit B110, B112",
    applies=_has_paths,
)
def check(repo: Repo) -> Iterator[Hit]:
    closure = repo.closure("train", "serve", "predict", "evaluate")
    # What a serverless platform calls is a request only where a model answers: else it is a step of a pipeline.
    asked = [h for h in serving.handlers(repo) if h.framework not in serving.SERVERLESS or h.model_calls]
    requests = {function for handler in asked for function in handler.functions}
    answers = {h.function for h in asked if h.framework in serving.WEB and h.framework != "grpc" and h.model_calls}
    for module in sorted(closure.modules, key=lambda m: m.path):
        if module.is_notebook or "test" in module.file.roles or "except" not in module.file.text:
            continue
        cases = [
            case
            for node in module.nodes(ast.Try)
            if closure.covers(module, node)
            for handler in node.handlers
            if (case := _judge(module, node, handler, module.scope_of(node) in requests)) is not None
            or (case := _success(module, handler, module.scope_of(node) in answers)) is not None
        ]
        if cases:
            cases.sort(key=lambda case: (case.severity != HIGH, case.handler.lineno))
            yield Hit(
                [module.site(case.handler.lineno) for case in cases],
                severity=cases[0].severity,
                title=cases[0].title,
                why=cases[0].why,
                remedy=cases[0].remedy,
                anchor=module.path,
            )
    for module in sorted({route.module for route in repo.routes if route.framework == "flask"}, key=lambda m: m.path):
        for function in module.functions.values():
            if _answers_errors_with_success(module, function):
                yield Hit(
                    [function.site()],
                    severity=HIGH,
                    title=_SUCCESS,
                    why=_MISTAKEN[0],
                    remedy=_MISTAKEN[1],
                    anchor=f"{module.path}\0{function.qualname}",
                )


def _answers_errors_with_success(module: Module, function: Function) -> bool:
    """Whether Flask's handler for every error returns bodies only: a body without a status is a success."""
    decorators = [d for d in function.node.decorator_list if isinstance(d, ast.Call) and d.args]
    if not any(
        ast.unparse(d.func).endswith("errorhandler") and module.resolve(d.args[0]) == "Exception" for d in decorators
    ):
        return False
    answers = return_values(function)
    return bool(answers) and all(
        isinstance(a, ast.Dict | ast.Constant | ast.JoinedStr)
        or (isinstance(a, ast.Call) and module.resolve(a.func) in ("flask.jsonify", "flask.render_template", "str"))
        for a in answers
    )


def _success(module: Module, handler: ast.ExceptHandler, answers: bool) -> _Case | None:
    """A route that asks the model and returns any error as the body of a success: `return {"error": str(e)}`."""
    last = handler.body[-1]
    if not answers or not isinstance(last, ast.Return) or last.value is None or not _is_broad(module, handler):
        return None
    sets_status = any(isinstance(n, ast.Attribute) and n.attr in ("status_code", "status") for n in walk(handler))
    value = module.value(last.value) or last.value
    body = value
    if isinstance(value, ast.Call) and _BODIES.search(module.resolve(value.func)):
        if any(k.arg in ("status_code", "status") for k in value.keywords) or len(value.args) > 1:
            return None
        body = value.args[0] if value.args else value
    elif not isinstance(value, ast.Dict | ast.JoinedStr):
        return None
    text = ast.unparse(body)
    named = handler.name is not None and any(isinstance(n, ast.Name) and n.id == handler.name for n in walk(value))
    if sets_status or not (named or (isinstance(body, ast.Dict) and _OF_AN_ERROR.search(text))):
        return None
    return _Case(handler, HIGH, _SUCCESS, *_MISTAKEN)


def _judge(module: Module, node: ast.Try, handler: ast.ExceptHandler, on_request: bool) -> _Case | None:
    """What is wrong with a handler, or None where it is acceptable."""
    if not _is_broad(module, handler) or _is_best_effort(module, node):
        return None
    if _switches_source(module, node, handler):
        return _Case(handler, HIGH, "When reading fails, other data is used in silence")
    if _stands_in(module, node, handler):
        return _Case(handler, MEDIUM, "What cannot be read is replaced by something made up")
    if _invents_figure(node, handler) or _returns_figure(module, handler):
        return _Case(handler, MEDIUM, "A figure of quality that cannot be computed is made up")
    if _invents_prediction(module, node, handler):
        title = "A prediction that cannot be made is replaced by a made-up number"
        return _Case(handler, HIGH if on_request else MEDIUM, title)
    if _takes_settings_of_ones_own(node, handler):
        return _Case(handler, MEDIUM, "Whatever goes wrong, the values of the author's own set-up are used")
    if on_request and _answers_success_after(module, node, handler):
        return _Case(handler, MEDIUM, _SUCCESS, *_MISTAKEN)
    statements = [s for s in handler.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    if all(isinstance(s, ast.Pass | ast.Continue) for s in statements):
        if on_request and _is_needed(module, node):
            return _Case(handler, HIGH, "Any error in a request is passed over in silence")
        return _Case(handler, MEDIUM, "Any error is passed over in silence")
    if not all(isinstance(s, ast.Pass | ast.Continue) or _is_log(module, s) for s in statements) or _leaves(
        module, handler
    ):
        return None
    if isinstance(module.enclosing(node, ast.While), ast.While) or node.orelse or _exits_after(module, node):
        return None
    if on_request and _is_needed(module, node):
        return _Case(handler, HIGH, "The error is logged, and the request goes on as if nothing had happened")
    return _Case(handler, MEDIUM, "The error is printed, and the program goes on as if nothing had happened")


def _is_needed(module: Module, node: ast.Try) -> bool:
    """Whether what is tried makes a value that the code behind it uses: then the answer rests on what is missing."""
    if _is_side_work(module, node):
        return False
    made = {
        inner.id
        for statement in node.body
        for target in _targets(statement)
        for inner in walk(target)
        if isinstance(inner, ast.Name)
    } - _stated_before(module, node)
    end = node.end_lineno or node.lineno
    scope = module.scope_of(node)
    body = scope.node if scope is not None else module.tree
    return any(
        isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and n.id in made and n.lineno > end for n in walk(body)
    )


def _stated_before(module: Module, node: ast.Try) -> set[str]:
    """Names that a statement before gives another value, worked out and no mere blank or asked for, which then
    stands: the one just before, or just before the condition that the attempt stands in."""
    found: set[str] = set()
    inner: ast.AST | None = node
    while isinstance(inner, ast.Try | ast.If | ast.With):
        above = module.parent(inner)
        block = getattr(above, "body", [])
        place = block.index(inner) if inner in block else 0
        for name, value in _assigned(block[place - 1]) if place else ():
            worked_out = isinstance(value, ast.BinOp | ast.Call | ast.JoinedStr | ast.Subscript)
            found.update({name} if worked_out or _is_asked_for(module, node, name) else ())
        inner = above
    return found


def _is_asked_for(module: Module, node: ast.Try, name: str) -> bool:
    """Whether the code behind asks if there is a value: `speakers[i] if speakers else i`."""
    scope = module.scope_of(node)
    tests = (n.test for n in walk(scope.node if scope else module.tree) if isinstance(n, ast.If | ast.IfExp))
    asked = {ast.unparse(test) for test in tests if test.lineno > node.lineno}
    return bool(asked & {name, f"{name} is None", f"{name} is not None", f"not {name}"})


def _targets(statement: ast.stmt) -> list[ast.expr]:
    if isinstance(statement, ast.Assign):
        return statement.targets
    return [statement.target] if isinstance(statement, ast.AnnAssign | ast.AugAssign) else []


def _is_side_work(module: Module, node: ast.Try) -> bool:
    """Whether a cache, a message or a record is tried, without which the answer is as good."""
    called = (ast.unparse(n.func) for s in node.body for n in walk(s) if isinstance(n, ast.Call))
    return any(_SIDE_WORK.search(name) for name in called)


def _is_broad(module: Module, handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(_BROAD.match(module.resolve(item)) for item in caught)


def _is_best_effort(module: Module, node: ast.Try) -> bool:
    """Whether nothing that counts is tried: imports, cleaning up, tracking, drawing; or the object is going away."""
    scope = module.scope_of(node)
    if scope is not None and _LAST.match(scope.node.name):
        return True
    if any(isinstance(parent, ast.Try) and node in parent.finalbody for parent in module.ancestors(node)):
        return True
    if all(isinstance(s, ast.Import | ast.ImportFrom) or _is_flag(s) for s in node.body):
        return True
    calls = [module.resolve(n.func) for s in node.body for n in walk(s) if isinstance(n, ast.Call)]
    names = [n for n in calls if not _LOGS.search(n)]
    return bool(calls) and all(_CLEANUP.search(name) or _TRACKING.match(name) for name in names)


def _is_flag(statement: ast.stmt) -> bool:
    """Whether a statement only probes for something and notes the answer."""
    if isinstance(statement, ast.If):
        return all(_is_flag(s) for s in [*statement.body, *statement.orelse])
    return isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)


def _is_log(module: Module, statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Call):
        return False
    return bool(_LOGS.search(_called(module, statement.value)))


def _called(module: Module, call: ast.Call) -> str:
    return module.resolve(call.func) if isinstance(call.func, ast.Name) else ast.unparse(call.func)


def _leaves(module: Module, handler: ast.ExceptHandler) -> bool:
    """Whether the handler ends what failed, or tells the user of an interface."""
    for node in walk(handler):
        if isinstance(node, ast.Raise | ast.Return):
            return True
        if isinstance(node, ast.Call):
            name = module.resolve(node.func)
            if name.startswith(("streamlit.", "gradio.", "tkinter.", "typer.Exit", "click.")):
                return True
            if _LEAVES.search(name) and not _LOGS.search(name):
                return True
    return False


def _exits_after(module: Module, node: ast.Try) -> bool:
    """Whether the very next statement ends the block with an error: the way out is behind the handler."""
    parent = module.parent(node)
    for name in ("body", "orelse"):
        block = getattr(parent, name, None)
        if isinstance(block, list) and node in block:
            following = block[block.index(node) + 1 : block.index(node) + 2]
            return any(isinstance(s, ast.Raise) for s in following)
    return False


def _switches_source(module: Module, node: ast.Try, handler: ast.ExceptHandler) -> bool:
    """Whether the handler fills a name that the read has failed to fill with data that is made up, or that is read
    elsewhere, without a word."""
    if any(isinstance(n, ast.Raise) for n in walk(handler)) or any(_is_log(module, s) for s in handler.body):
        return False
    wanted = {name for s in node.body for name, value in _assigned(s) if _reads(module, value)}
    filled = [value for s in handler.body for name, value in _assigned(s) if name in wanted]
    if any(isinstance(value, ast.Call) and _MADE_UP.search(ast.unparse(value.func)) for value in filled):
        return True
    if not filled or not any(_reads(module, value) for s in handler.body for _, value in _assigned(s)):
        return False
    tried, instead = (" ".join(map(ast.unparse, body)) for body in (node.body, handler.body))
    same = _named(module, node.body) & _named(module, handler.body)
    return not (same or _KEEPS.search(tried) or _KEEPS.search(instead))


def _named(module: Module, body: list[ast.stmt]) -> set[str]:
    """What reads are given first, files by their names alone: read in another way or folder it is the same."""
    calls = (n for s in body for n in walk(s) if isinstance(n, ast.Call) and n.args)
    texts = (ast.unparse(call.args[0]) for call in calls if _READS.search(module.resolve(call.func)))
    return {text.rpartition("/")[2].strip("\"'") for text in texts}


def _stands_in(module: Module, node: ast.Try, handler: ast.ExceptHandler) -> bool:
    """Whether zeros, or a stand-in for the model, take the place of what was to be read: a result is made of them."""
    if any(isinstance(s, ast.Raise) for s in handler.body):
        return False
    loaded = [value for s in node.body for _, value in _assigned(s) if isinstance(value, ast.Call)]
    if not any(_LOADED.search(ast.unparse(value.func)) for value in loaded):
        return False
    wanted = {name for s in node.body for name, _ in _assigned(s)}
    for statement in handler.body:
        if any(name in wanted and _is_blank(module, value) for name, value in _assigned(statement)):
            return True
        if isinstance(statement, ast.Return) and statement.value is not None:
            calls = [n for n in walk(statement.value) if isinstance(n, ast.Call)]
            if any(_STAND_IN.search(ast.unparse(n.func)) for n in calls):
                return True
    return False


def _invents_figure(node: ast.Try, handler: ast.ExceptHandler) -> bool:
    """`try: auc = roc_auc_score(…)` with `except: auc = 0.5`: the curve shows a number that nothing measured."""
    wanted = {name for s in node.body for name, value in _assigned(s) if isinstance(value, ast.Call)}
    made = [pair for s in handler.body for pair in _assigned(s)]
    return len(made) == len(handler.body) and any(
        name in wanted and _FIGURE.search(name) and isinstance(value, ast.Constant) and isinstance(value.value, float)
        for name, value in made
    )


def _returns_figure(module: Module, handler: ast.ExceptHandler) -> bool:
    """`except Exception: return 0` in a function that is called after a figure of quality."""
    last, scope = handler.body[-1], module.scope_of(handler)
    if not isinstance(last, ast.Return) or not isinstance(last.value, ast.Constant) or scope is None:
        return False
    number = type(last.value.value) in (int, float)
    return number and bool(_FIGURE.search(scope.node.name)) and not any(isinstance(n, ast.Raise) for n in walk(handler))


def _invents_prediction(module: Module, node: ast.Try, handler: ast.ExceptHandler) -> bool:
    """`except Exception: return 15.0` around a model that is asked: the caller takes the number for an answer."""
    last = handler.body[-1]
    if not isinstance(last, ast.Return) or any(isinstance(n, ast.Raise) for n in walk(handler)):
        return False
    value = last.value.value if isinstance(last.value, ast.Constant) else None
    asked = any(isinstance(n, ast.Call) and _ASKS.search(ast.unparse(n.func)) for s in node.body for n in walk(s))
    return type(value) in (int, float) and asked and any(isinstance(s, ast.Return) for b in node.body for s in walk(b))


def _answers_success_after(module: Module, node: ast.Try, handler: ast.ExceptHandler) -> bool:
    """Whether the answer behind the `try` is that of a success, whatever was caught: `return {"statusCode": 200}`."""
    fixed = (isinstance(value, ast.Constant | ast.JoinedStr) for s in handler.body for _, value in _assigned(s))
    if not all(_is_log(module, s) or isinstance(s, ast.Assign) for s in handler.body) or not all(fixed):
        return False
    block = getattr(module.parent(node), "body", [])
    following = block[block.index(node) + 1 :] if node in block else []
    answer = next((s.value for s in following if isinstance(s, ast.Return)), None)
    if not isinstance(answer, ast.Dict) or any(isinstance(s, ast.If | ast.Try) for s in following):
        return False
    pairs = [(k, v) for k, v in zip(answer.keys, answer.values, strict=True) if k is not None]
    told = {k.value: v.value for k, v in pairs if isinstance(k, ast.Constant) and isinstance(v, ast.Constant)}
    return told.get("statusCode") == 200 or told.get("status") in ("success", "ok")


def _takes_settings_of_ones_own(node: ast.Try, handler: ast.ExceptHandler) -> bool:
    """Names that an event or the environment was to fill are given fixed texts instead, two or more of them."""
    wanted = {name for s in node.body for name, value in _assigned(s) if isinstance(value, ast.Subscript)}
    fixed = {
        name
        for s in handler.body
        for name, value in _assigned(s)
        if name in wanted and isinstance(value, ast.Constant) and isinstance(value.value, str) and len(value.value) > 3
    }
    return len(fixed) > 1


def _is_blank(module: Module, value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and bool(_BLANK.match(module.resolve(value.func)))


def _assigned(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(statement, ast.Assign):
        yield from ((t.id, statement.value) for t in statement.targets if isinstance(t, ast.Name))
    elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
        yield statement.target.id, statement.value


def _reads(module: Module, value: ast.expr) -> bool:
    return any(isinstance(n, ast.Call) and _READS.search(module.resolve(n.func)) for n in walk(value))
