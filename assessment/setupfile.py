"""What a setup.py asks to be installed: its literal lists, those that it picks from at run time, files it opens."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ml_engineer.assessment.declarations import Declared, requirement
from ml_engineer.assessment.module import UNKNOWN, Call, Module

_REQUIREMENT = re.compile(r"[A-Za-z][\w.-]*(\[[\w,\s-]+\])?\s*([=<>!~]=?[^;]*)?(;.*)?")
_NAMED_SO = re.compile(r"req|dep|install|pack|extra|lib", re.I)
_PROSE = re.compile(r"readme|licen[cs]e|version|manifest|change|history|author", re.I)


def declared_in(module: Module) -> Iterator[Declared]:
    """`install_requires` and `extras_require`; where they are made at run time, the lists that they may come of."""
    for call in module.calls:
        if call.name.startswith("subprocess."):
            yield from _installed_by(call)
        if not (call.name.endswith("setup") and call.node.keywords):
            continue
        wanted = _given(call, "install_requires")
        always = list(_literals(module, wanted, ""))
        yield from always or (_listed(module) if wanted is not None else ())
        yield from _literals(module, _given(call, "tests_require"), "test")
        named = _given(call, "extras_require")
        kept = named.id if isinstance(named, ast.Name) else ""
        for node in module.nodes(ast.Assign) if kept else ():  # `extras["gpu"] = [...]`
            target = node.targets[0]
            if isinstance(target, ast.Subscript) and ast.unparse(target.value) == kept:
                yield from _literals(module, node.value, str(module.literal(target.slice)))
        extras = module.value(named)
        if isinstance(extras, ast.Dict):
            for key, value in zip(extras.keys, extras.values, strict=True):
                group = key.value if isinstance(key, ast.Constant) and isinstance(key.value, str) else "extra"
                yield from _literals(module, value, group)


def _installed_by(call: Call) -> Iterator[Declared]:
    """Repositories that a command of the setup.py gives to pip: `run([python, "-m", "pip", "install", "git+…"])`."""
    words = call.module.value(call.node.args[0]) if call.node.args else None
    if not isinstance(words, ast.List | ast.Tuple):
        return
    texts = [(item, call.module.literal(item)) for item in words.elts]
    if {"pip", "install"} <= {text for _, text in texts if isinstance(text, str)}:
        for item, text in texts:
            if isinstance(text, str) and "git+" in text:
                module = call.module
                found = requirement(text, module.site(item), module.path, "setup.py", group="extra")
                if found:
                    yield found


def _given(call: Call, name: str) -> ast.expr | None:
    """The value of an argument, also where it stands in a table of them: `setup(**settings)`."""
    if (value := call.keyword(name)) is not None:
        return value
    for keyword in call.node.keywords:
        table = call.module.value(keyword.value) if keyword.arg is None else None
        if isinstance(table, ast.Call):  # `dict(name="x", install_requires=[...])`
            found = next((k.value for k in table.keywords if k.arg == name), None)
        elif isinstance(table, ast.Dict):
            pairs = zip(table.keys, table.values, strict=True)
            found = next((v for k, v in pairs if isinstance(k, ast.Constant) and k.value == name), None)
        else:
            found = None
        if found is not None:
            return found
    return None


def _literals(module: Module, node: ast.expr | None, group: str) -> Iterator[Declared]:
    value = module.value(node)
    if isinstance(value, ast.BinOp):
        yield from _literals(module, value.left, group)
        yield from _literals(module, value.right, group)
    elif isinstance(value, ast.IfExp):
        yield from _literals(module, value.body, group)
        yield from _literals(module, value.orelse, group)
    elif isinstance(value, ast.List | ast.Tuple | ast.Set):
        for item in value.elts:
            text = module.literal(item)
            if text is not UNKNOWN and isinstance(text, str):
                found = requirement(text, module.site(item), module.path, "setup.py", group=group)
                if found:
                    yield found
    elif isinstance(value, ast.Constant) and isinstance(value.value, str):
        for line in value.value.splitlines():
            found = (
                requirement(line, module.site(value), module.path, "setup.py", group=group) if line.strip() else None
            )
            if found:
                yield found


def _listed(module: Module) -> Iterator[Declared]:
    """Requirements in lists, and in tables of lists, that a setup.py keeps by a name and picks from at run time."""
    for name, node in _kept_lists(module):
        texts = [(item, module.literal(item)) for item in node.elts]
        plain = [(item, text) for item, text in texts if isinstance(text, str) and _REQUIREMENT.fullmatch(text.strip())]
        if len(plain) == len(texts) and _NAMED_SO.search(name):
            for item, text in plain:
                found = requirement(text, module.site(item), module.path, "setup.py")
                if found:
                    yield found


def _kept_lists(module: Module) -> Iterator[tuple[str, ast.List | ast.Tuple | ast.Set]]:
    for node in module.nodes(ast.Assign):
        name = ast.unparse(node.targets[0])
        values = node.value.values if isinstance(node.value, ast.Dict) else [node.value]
        yield from ((name, value) for value in values if isinstance(value, ast.List | ast.Tuple | ast.Set))
    for call in module.calls:  # `requirements.append("numpy")`, `requirements.extend(["numpy"])`
        if isinstance(call.node.func, ast.Attribute) and call.node.func.attr in ("append", "extend") and call.node.args:
            given = call.node.args[0]
            made = given if isinstance(given, ast.List) else ast.copy_location(ast.List(elts=[given]), given)
            yield ast.unparse(call.node.func.value), made


def opened_in(text: str) -> list[str]:
    """Files of requirements that a setup.py opens."""
    named = re.findall(r"[\"']([\w./-]+\.(?:txt|in|pip))[\"']", text)
    return [path for path in named if not _PROSE.search(path)]
