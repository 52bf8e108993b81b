import pytest

HEAD = "import numpy as np, torch\nimport pandas as pd\ndf = pd.DataFrame()\nout = np.array([])\n"


@pytest.mark.parametrize(
    "body",
    [
        "    out = np.append(out, f(x))\n",
        "    out = torch.cat([out, f(x)])\n",
        "    df = pd.concat([df, f(x)])\n",
        "    df = df.append(f(x))\n",
    ],
)
def test_an_array_that_is_copied_in_each_round(check, place, body):
    (finding,) = check("MLE0607", {"a.py": HEAD + "for x in rows:\n" + body})
    assert (finding.severity.value, place(finding)) == ("low", ("a.py", 6))


def test_short_loops_lists_decoding_and_fresh_values_are_fine(check):
    text = HEAD + (
        "for x in range(3):\n    out = np.append(out, f(x))\n"
        "for x in rows:\n    parts.append(f(x))\n"
        "for x in rows:\n    y = g(x)\n    y = torch.cat([y, z])\n"
        "def generate(ids):\n    while True:\n        ids = torch.cat([ids, step(ids)])\n"
    )
    assert check("MLE0607", {"a.py": text}) == []
