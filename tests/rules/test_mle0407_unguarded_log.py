import pytest


def test_a_log_of_a_probability_in_a_loss(check, place):
    code = (
        "import torch\ndef focal_loss(prob, target):\n    p = prob.gather(1, target)\n    return -torch.log(p).mean()\n"
    )
    (finding,) = check("MLE0407", {"t.py": code})
    assert place(finding) == ("t.py", 4)


def test_a_log_of_a_softmax_anywhere(check):
    assert len(check("MLE0407", {"t.py": "import torch\nx = torch.log(torch.softmax(z, 1))\n"})) == 1


@pytest.mark.parametrize(
    "line",
    ["torch.log(p + 1e-8)", "torch.log(p.clamp(min=EPS))", "torch.log(1 + torch.exp(p))", "torch.log(constant)"],
)
def test_guarded_or_positive_arguments(check, line):
    assert check("MLE0407", {"t.py": f"import torch\ndef my_loss(p):\n    return {line}\n"}) == []
