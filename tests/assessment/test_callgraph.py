"""What an entry point leads to."""

from ml_engineer.assessment.callgraph import closure_of
from ml_engineer.assessment.entrypoints import Entry
from ml_engineer.assessment.repo import Repo


def _functions(tmp_path, code: str) -> set[str]:
    (tmp_path / "main.py").write_text(code)
    repo = Repo.open(tmp_path)
    (module,) = repo.modules
    closure = closure_of(repo, [Entry("train", module, None, module.site(1))])
    return {function.qualname for function in closure.functions}


def test_what_a_table_holds_is_reached_where_the_table_is(tmp_path):
    code = (
        "class A:\n    def read(self): pass\n"
        "def b(): pass\n"
        "def c(): pass\n"
        "def pick(name):\n    return {'a': A, 'b': b}[name]()\n"
        "def never():\n    return {'c': c}\n"
        "if __name__ == '__main__':\n    pick('a')\n"
    )
    assert _functions(tmp_path, code) == {"A.read", "b", "pick"}


def test_a_module_that_is_handed_over_reaches_what_it_defines(tmp_path):
    (tmp_path / "sets.py").write_text("class Rows:\n    def __getitem__(self, index): pass\n")
    (tmp_path / "main.py").write_text(
        "import sets\ndef pick(m, name):\n    return getattr(m, name)()\npick(sets, 'Rows')\n"
    )
    repo = Repo.open(tmp_path)
    main = repo.by_dotted["main"]
    closure = closure_of(repo, [Entry("train", main, None, main.site(1))])
    assert {function.qualname for function in closure.functions} == {"pick", "Rows.__getitem__"}


def test_a_method_needs_an_object(tmp_path):
    code = "class A:\n    def __init__(self):\n        read()\n    def run(self): pass\n"
    code += "def read(): pass\ndef never(): pass\n"
    (tmp_path / "main.py").write_text(code)
    repo = Repo.open(tmp_path)
    (module,) = repo.modules
    closure = closure_of(repo, [Entry("train", module, module.functions["A.run"], module.site(1))])
    assert {function.qualname for function in closure.functions} == {"A.__init__", "A.run", "read"}
