"""M3-05: paths of one machine or account that are written in the code and reach a call."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.index import walk
from ml_engineer.assessment.repo import matches
from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Module
    from ml_engineer.assessment.repo import Repo

_PERSONAL = re.compile(
    r"(?:file://)?(/(?:home|Users|root|content|kaggle|mnt|run/media)/[\w.~@+ -]+|/media/[\w-]+/[\w.~@+ -]+/)"
    r"|([A-Za-z]:[\\/]{1,2}[\w. -]+)"
)
_FOLDERS = ("/home/", "/Users/", "/root/", "/content/", "/kaggle/", "/mnt/", "/media/")
_DRIVE = re.compile(r":[\\/](?<=\b[A-Za-z]:[\\/])")
# Calls for which such a text is a message, a pattern, a URL path, or the default of a setting.
_NO_FILES = (
    "print", "logging.*", "*.info", "*.debug", "*.warning", "*.error", "re.*", "os.getenv", "os.environ.get",
    "os.environ.setdefault", "*.route", "*.get", "*.post", "*.startswith", "*.endswith", "*.replace", "*.split",
    "*.url_for", "*Exception", "*Error", "*.add_url_rule", "streamlit.write", "*.markdown", "*.format", "*.strip",
)  # fmt: skip


@rule(
    id="MLE0305",
    name="absolute-path",
    step=3,
    severity=MEDIUM,
    title="Path of one machine is written in the code",
    why="The code finds its files on no other machine, in no container and in no CI job.",
    remedy="Take the path from configuration or the environment, relative to the project by default.",
    source="Cookiecutter Data Science; observed",
)
def check(repo: Repo) -> Iterator[Hit]:
    for module in repo.modules:
        if "test" in module.file.roles or not _mentions(module.file.text):
            continue
        kernel = f"{module.file.folder}/kernel-metadata.json".lstrip("/") in repo.files
        found = [
            node
            for node in module.nodes(ast.Constant)
            if _is_personal(repo, node)
            and _reaches_call(repo, module, node)
            and not (kernel and str(node.value).startswith("/kaggle/"))  # it is sent to Kaggle, and runs nowhere else
        ]
        if found:
            found.sort(key=lambda node: (node.lineno, node.col_offset))
            yield Hit([module.site(node) for node in found], anchor=module.path)


def _mentions(text: str) -> bool:
    """Whether a text may hold such a path: a cheap look."""
    return any(folder in text for folder in _FOLDERS) or _DRIVE.search(text) is not None


def _is_personal(repo: Repo, node: ast.Constant) -> bool:
    """Whether a literal is such a path, and no container or manifest of the repository defines it."""
    if not isinstance(node.value, str):
        return False
    match = _PERSONAL.match(node.value)
    if match is None or len(node.value) > 300 or "\n" in node.value:
        return False
    return match[1] is None or not _is_defined_by_image(repo, match[1])


def _is_defined_by_image(repo: Repo, path: str) -> bool:
    """Whether a Dockerfile or manifest names the folder: then it is the container's own."""
    texts: list[str] | None = repo.__dict__.get("_container_texts")
    if texts is None:
        files = {d.file.path: d.file for d in repo.dockerfiles}
        files |= {f.path: f for f in repo.glob("*compose*.y*ml", "**/k8s/**", "**/kubernetes/**", "**/helm/**", "*.tf")}
        texts = [file.text for file in files.values() if file.size < 500_000]
        repo.__dict__["_container_texts"] = texts
    return any(path in text for text in texts)


def _reaches_call(repo: Repo, module: Module, node: ast.expr) -> bool:
    """Whether the literal is given to a call, directly or by the name it is bound to."""
    child: ast.AST = node
    for ancestor in module.ancestors(node):
        match ancestor:
            case ast.Call():
                return not matches(module.resolve(ancestor.func), *_NO_FILES) and not _is_help(child)
            case ast.arguments():
                return _is_used_default(module, ancestor, node)
            case ast.Compare() | ast.Return() | ast.Raise() | ast.Assert():
                return False
            case ast.Assign(targets=targets):
                return _is_given_on(repo, module, targets)
            case ast.AnnAssign(target=target):
                return _is_given_on(repo, module, [target])
            case ast.stmt():
                return isinstance(ancestor, ast.For | ast.With)
        child = ancestor
    return False


def _is_help(node: ast.AST) -> bool:
    return isinstance(node, ast.keyword) and node.arg in ("help", "description", "epilog", "metavar", "usage")


def _is_given_on(repo: Repo, module: Module, targets: list[ast.expr]) -> bool:
    """Whether a name that the literal is bound to stands in the arguments of a call, here or where it is imported."""
    names = {t.id if isinstance(t, ast.Name) else t.attr for t in targets if isinstance(t, ast.Name | ast.Attribute)}
    names |= {t.value.id for t in targets if isinstance(t, ast.Subscript) and isinstance(t.value, ast.Name)}
    for statement in module.tree.body:  # paths that further settings make of it
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.BinOp | ast.JoinedStr):
            if any(isinstance(n, ast.Name) and n.id in names for n in walk(statement.value)):
                names |= {t.id for t in statement.targets if isinstance(t, ast.Name)}
    if names & _given_to_calls(module):
        return True
    for arguments in module.nodes(ast.arguments):  # `def load(folder=DATA)`
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if isinstance(default, ast.Name) and default.id in names and _is_used_default(module, arguments, default):
                return True
    return any(names & _given_to_calls(other) for other in _importers(repo, module))


def _is_used_default(module: Module, arguments: ast.arguments, node: ast.expr) -> bool:
    """Whether the literal, or its name, is a parameter's default, and the function gives that parameter to a call."""
    function = module.parent(arguments)
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs: list[tuple[ast.arg, ast.expr | None]] = [
        *zip(reversed(positional), reversed(arguments.defaults), strict=False)
    ]
    pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    name = next((parameter.arg for parameter, default in pairs if default is node), None)
    return function is not None and name in _names_in_calls(module, function)


def _given_to_calls(module: Module) -> frozenset[str]:
    """Names and attributes that stand in the arguments of some call of a module."""
    known: frozenset[str] | None = module.__dict__.get("_given_to_calls")
    if known is None:
        known = _names_in_calls(module, module.tree)
        module.__dict__["_given_to_calls"] = known
    return known


def _names_in_calls(module: Module, tree: ast.AST) -> frozenset[str]:
    found: set[str] = set()
    for call in walk(tree):
        if not isinstance(call, ast.Call) or matches(module.resolve(call.func), *_NO_FILES):
            continue
        for argument in [*call.args, *(k.value for k in call.keywords)]:
            for node in walk(argument):
                if isinstance(node, ast.Name):
                    found.add(node.id)
                elif isinstance(node, ast.Attribute):
                    found.add(node.attr)
    return frozenset(found)


def _importers(repo: Repo, module: Module) -> Iterator[Module]:
    name = module.dotted.rpartition(".")[2]
    for other in repo.modules:
        if other is not module and any(name in item.target.split(".") for item in other.imports):
            yield other
