"""M6-03: the model is asked row by row from a Python loop."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment import serving, values
from ml_engineer.assessment.callgraph import callees
from ml_engineer.assessment.grouping import per_file
from ml_engineer.assessment.index import walk
from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

_ASKS = (
    "*.predict", "*.predict_proba", "*.predict_on_batch", "*.predict_classes", "*.decision_function", "*.forward",
    "onnxruntime.InferenceSession().run",
)  # fmt: skip
_ROWS = re.compile(r"\.(iterrows|itertuples)\(|^enumerate\(.*\.values|^range\(len\(|^range\(.*shape\[0\]")
# One row made to look like a batch.
_ONE = re.compile(
    r"^\[\w+\]$|^\[\[|reshape\(\(?1\b|expand_dims|unsqueeze\(0\)|\[None\b|\[np\.newaxis|array\(\[\w+\]\)|"
    r"\w\[\w+:\w+ ?\+ ?1\]"
)
_NOT_ROWS = re.compile(r"\b(env|environment|gym)\b\.|\.step\(|\bcap\.read\(|consumer|\.poll\(|\.fit\(|\.backward\(")


@rule(
    id="MLE0603",
    name="row-predict",
    step=6,
    severity=MEDIUM,
    title="The model is asked for one row at a time",
    why="The call's fixed cost is paid for every row: a batch is often a hundred times faster.",
    remedy="Collect the rows and predict them in one call, or in batches of bounded size.",
    source="22 ML code smells: vectorisation",
    peers=("aiops-specialist",),
    applies=lambda repo: any(True for _ in repo.calls(*_ASKS, tests=False)),
)
def check(repo: Repo) -> Iterator[Hit]:
    sites: list[Site] = []
    for call in repo.calls(*_ASKS, tests=False):
        if call.name not in repo.functions and _is_by_row(call):
            sites.append(call.site())
    for handler in serving.handlers(repo):
        sites += [call.site() for call in handler.calls if _hands_over_rows(repo, call)]
    for group in per_file(dict.fromkeys(sites)):
        yield Hit(group)


def _hands_over_rows(repo: Repo, call: Call) -> bool:
    """Whether a request runs a function of one's own, which asks the model, for each element of a list: `[p(r) for r in
    rows]`."""
    loop = call.module.parent(call.node)
    if not isinstance(loop, ast.ListComp | ast.GeneratorExp) or len(call.node.args) != 1:
        return False
    target, given = loop.generators[0].target, call.node.args[0]
    if not (isinstance(target, ast.Name) and isinstance(given, ast.Name) and given.id == target.id):
        return False
    return any(
        values.is_model_call(repo, inner)
        for function in callees(repo, call.name)
        for inner in values.calls_of(function.module, function)
    )


def _is_by_row(call: Call) -> bool:
    module = call.module
    loop = module.enclosing(call.node, ast.For, ast.ListComp, ast.GeneratorExp)
    if isinstance(loop, ast.For):
        target, source, body = loop.target, loop.iter, ast.unparse(loop)
    elif isinstance(loop, ast.ListComp | ast.GeneratorExp):
        target, source, body = loop.generators[0].target, loop.generators[0].iter, ast.unparse(loop)
    else:
        return False
    if _NOT_ROWS.search(body) or not call.node.args:
        return False
    given = call.node.args[-1] if call.name.endswith(".run") else call.node.args[0]
    names = {n.id for n in walk(target) if isinstance(n, ast.Name)}
    if isinstance(loop, ast.For):
        names |= _made_of(loop, names)
    texts = [ast.unparse(given)]
    shown = module.value(given)
    if shown is not None and shown is not given:
        texts.append(ast.unparse(shown))
    used = {n.id for n in walk(given) if isinstance(n, ast.Name)}
    if not used & names:
        return False
    by_row = bool(_ROWS.search(ast.unparse(source)))
    return by_row or any(_ONE.search(text) for text in texts)


def _made_of(loop: ast.For, names: set[str]) -> set[str]:
    """Names bound in the loop's body from its own variable. What is made of an earlier answer is a sequence, no row."""
    made: set[str] = set()
    for node in walk(loop):
        if isinstance(node, ast.Assign):
            used = {n.id for n in walk(node.value) if isinstance(n, ast.Name)}
            if used & (names | made):
                made |= {n.id for t in node.targets for n in walk(t) if isinstance(n, ast.Name)}
    return made
