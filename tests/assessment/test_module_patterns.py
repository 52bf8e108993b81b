from ml_engineer.assessment.repo import Repo


def test_a_match_on_true_false_and_none_is_indexed_like_any_other_code(tmp_path):
    text = (
        "def f(x):\n    match x:\n        case True | None:\n            return g(1)\n"
        "        case {'a': False, **rest}:\n            return h(rest)\n"
    )
    (tmp_path / "a.py").write_text(text + "import numpy\n")
    (module,) = Repo.open(tmp_path).modules
    assert set(module.functions) == {"f"}
    assert len(module.calls) == 2
