def test_a_merge_that_says_nothing(check, place):
    code = "import pandas as pd\na = pd.read_csv('a.csv')\nc = a.merge(b)\nd = pd.merge(a, c)\n"
    (finding,) = check("MLE0116/merge", {"t.py": code})
    assert place(finding) == ("t.py", 3)
    assert len(finding.evidence) == 2


def test_keys_and_kind_are_enough(check):
    code = (
        "import pandas as pd\na = pd.read_csv('a.csv')\nc = a.merge(b, on='id', how='left')\n"
        "d = pd.merge(a, b, 'left', 'id')\n"
    )
    assert check("MLE0116/merge", {"t.py": code}) == []


def test_a_merge_of_something_else_is_no_join(check):
    assert check("MLE0116/merge", {"t.py": "import pandas\nconfig.merge(other)\n"}) == []
