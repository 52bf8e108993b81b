"""M3-14: test files that check nothing, or that need a live server."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.dataflow import attribute_writes, class_of, texts
from ml_engineer.assessment.index import walk
from ml_engineer.assessment.module import UNKNOWN
from ml_engineer.assessment.repo import matches
from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call, Function, Module
    from ml_engineer.assessment.repo import Repo

_TEST_FILE = re.compile(r"^(test_.*|.*_test|tests?)\.py$")
_CHECKS = re.compile(
    r"(^|\.)(assert\w*|raises|warns|fail\w*|expect\w*|verify\w*|check\w*|should\w*|approx|testing\.\w+|deprecated_call|"
    r"assume|snapshot\w*|invoke_and_check|validate\w*|resource_count_is|has_resource\w*|has_output|template_matches|"
    r"all_resources\w*|resource_properties_count_is)$|^(numpy|pandas|torch|jax|polars|tensorflow)\.testing\.|"
    r"tensorflow\.debugging\."
)
_HTTP = ("requests.get", "requests.post", "requests.put", "requests.request", "requests.Session().*", "httpx.get",
         "httpx.post", "httpx.Client().*", "urllib.request.urlopen")  # fmt: skip
_MOCKS = ("responses", "respx", "requests_mock", "httpretty", "pytest_httpx", "pytest_httpserver", "vcr",
    "testcontainers",
          "locust", "pytest_docker")  # fmt: skip


def _test_modules(repo: Repo) -> list[Module]:
    return [m for m in repo.modules if "test" in m.file.roles and _TEST_FILE.match(m.file.name) and _tests(m)]


def _scripts(repo: Repo) -> list[Module]:
    """Files of a name that a runner collects, without any test in them: it runs them, and nothing is checked."""
    named = [m for m in repo.modules if re.match(r"test_.*\.py$", m.file.name) and "docs" not in m.file.roles]
    return [
        module
        for module in named
        if not any(f.node.name.lower().startswith("test") for f in module.functions.values())
        and not module.classes
        and module.main_guard is None
        and module.calls_by_scope.get(None)
        and not _asserts(module.tree)
        and not any(item.top in ("argparse", "click", "typer", "fire", "pytest") for item in module.imports)
    ]


def _has_tests(repo: Repo) -> bool:
    return bool(_test_modules(repo) or _scripts(repo))


@rule(
    id="MLE0314",
    name="test-not-a-test",
    step=3,
    severity=MEDIUM,
    title="Test checks nothing",
    why="It passes whatever the code answers, so that a green run says less than it seems to.",
    remedy="Assert what the code has to answer; for an API use the framework's test client.",
    source="observed",
    peers=("devops-engineer",),
    applies=_has_tests,
)
def check(repo: Repo) -> Iterator[Hit]:
    for module in _test_modules(repo):
        tests = _tests(module)
        live = [call for test in tests for call in _calls_of(module, test) if _is_live(module, call)]
        empty = [test for test in tests if not _checks(repo, module, test)]
        if live:
            asserts = "" if any(test not in empty for test in tests) else " and asserts nothing"
            yield Hit(
                [call.site() for call in live],
                title=f"Test calls a live server{asserts}",
                why="It fails wherever no server has been started by hand, so that nobody can run it in CI.",
                remedy="Use the framework's test client, and assert status and content of the answer.",
                anchor=module.path,
            )
        elif len(empty) == len(tests):
            yield Hit([test.site() for test in empty], title="Test file asserts nothing", anchor=module.path)
    for module in _scripts(repo):
        yield from _of_script(module)


def _of_script(module: Module) -> Iterator[Hit]:
    live = [call for call in module.calls if _is_live(module, call)]
    if live or re.search(r"(^|/)tests?/", module.path):
        asked = [call.site() for call in live]
        yield Hit(
            asked or [module.calls_by_scope[None][0].site()],
            title="Test file holds no test" + (": it asks a live server and asserts nothing" if live else ""),
            anchor=module.path,
        )


def _tests(module: Module) -> list[Function]:
    """Functions that a test runner collects and that do something."""
    named = (f for f in module.functions.values() if f.node.name.startswith("test") and module.scope_of(f.node) is None)
    return [f for f in named if _is_collected(module, f) and not _is_fixture(f)]


def _is_collected(module: Module, function: Function) -> bool:
    """Whether a method's class is one that a runner looks into."""
    if function.class_name is None:
        return True
    node = module.classes.get(function.class_name)
    is_case = node is not None and any("TestCase" in ast.unparse(base) for base in node.bases)
    return is_case or function.class_name.split(".")[-1].startswith("Test")


def _is_fixture(function: Function) -> bool:
    return any("fixture" in ast.unparse(d) or "skip" in ast.unparse(d) for d in function.node.decorator_list)


def _calls_of(module: Module, function: Function) -> list[Call]:
    return module.calls_by_scope.get(function, [])


def _checks(repo: Repo, module: Module, function: Function) -> bool:
    """Whether a test, or a local helper that it calls, can fail by a check of its own."""
    calls = [call for call in _calls_of(module, function) if not _compares_constants(call.node)]
    if _asserts(function.node) or any(_CHECKS.search(call.name) for call in calls):
        return True
    for call in calls:
        text = ast.unparse(call.node.func)
        if _CHECKS.search(text) or text.startswith(("self.assert", "mock")):
            return True
        helper = repo.functions.get(call.name) or module.functions.get(
            f"{function.class_name}.{text.removeprefix('self.')}"
        )
        if (
            helper is not None
            and helper is not function
            and "test" in helper.module.file.roles
            and _asserts(helper.node)
        ):
            return True
    return False


def _asserts(node: ast.AST) -> bool:
    for inner in walk(node):
        if isinstance(inner, ast.Raise) or (isinstance(inner, ast.Assert) and not _is_always_true(inner.test)):
            return True
        if isinstance(inner, ast.Call) and not _compares_constants(inner) and _CHECKS.search(ast.unparse(inner.func)):
            return True
        if isinstance(inner, ast.withitem) and "raises" in ast.unparse(inner.context_expr):
            return True
    return False


def _is_always_true(test: ast.expr) -> bool:
    """`assert True`, `assert 1 == 1`: nothing of the code is in it. `assert False` marks a line not to be reached."""
    match test:
        case ast.Constant(value=value):
            return bool(value)
        case ast.Compare(left=ast.Constant(), comparators=others):
            return all(isinstance(other, ast.Constant) for other in others)
    return False


def _compares_constants(call: ast.Call) -> bool:
    """`self.assertEqual(True, True)`, `self.assertTrue(True)`: an assertion of what is written in it."""
    compares = isinstance(call.func, ast.Attribute) and call.func.attr in ("assertEqual", "assertIs", "assertTrue")
    return compares and bool(call.args) and all(isinstance(item, ast.Constant) and item.value for item in call.args)


def _is_live(module: Module, call: Call) -> bool:
    """Whether a test asks a server over the network that no double stands in for."""
    if not matches(call.name, *_HTTP) or (not call.node.args and not call.node.keywords):
        return False
    if any(item.top in _MOCKS or "mock" in item.target for item in module.imports):
        return False
    if any(re.match(r"subprocess\.|multiprocessing\.Process|threading\.Thread", name) for name in module.call_names):
        return False  # it starts the server itself
    if call.scope is not None and any(
        re.search(r"mock|monkeypatch|server|docker", p.arg) for p in call.scope.parameters
    ):
        return False
    url = call.argument(1 if call.name.endswith(".request") else 0, "url")
    if isinstance(url, ast.Attribute) and isinstance(url.value, ast.Name) and url.value.id == "self":
        written = attribute_writes(module).get((class_of(module, call.scope), url.attr), [])
        return any(re.match(r"https?://", text) for bound in written for text in texts(bound.value))
    value = module.literal(url)
    shown = [value] if isinstance(value, str) else list(texts(module.value(url))) if value is UNKNOWN else []
    shown += (
        [t for n in walk(url) if isinstance(n, ast.Name) for t in texts(module.value(n))] if url is not None else []
    )
    return any(re.match(r"https?://", text) for text in shown)
