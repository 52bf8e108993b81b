def test_equality_with_nan(check, place):
    (finding,) = check(
        "MLE0116", {"t.py": "import numpy as np\nbad = df[df.a == np.nan]\nworse = df.b != float('nan')\n"}
    )
    assert place(finding) == ("t.py", 2)
    assert len(finding.evidence) == 2


def test_isnan_and_self_comparison_are_right(check):
    assert check("MLE0116", {"t.py": "import numpy as np\na = np.isnan(x)\nb = x != x\nc = x == np.inf\n"}) == []
