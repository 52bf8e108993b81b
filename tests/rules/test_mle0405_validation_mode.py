HEAD = """\
import torch
model = torch.nn.Sequential(torch.nn.Dropout(0.5))
for e in range(2):
    loss.backward()
"""


def test_validation_in_training_mode(check, place):
    code = HEAD + "for x, y in val_loader:\n    out = model(x)\n"
    (finding,) = check("MLE0405/validation", {"t.py": code})
    assert place(finding) == ("t.py", 5)
    assert finding.severity == "medium" and "training mode" in finding.title


def test_gradients_that_nobody_needs(check):
    (finding,) = check(
        "MLE0405/validation", {"t.py": HEAD + "model.eval()\nfor x, y in val_loader:\n    out = model(x)\n"}
    )
    assert "gradients" in finding.title


def test_both_are_set(check):
    code = HEAD + "model.eval()\nwith torch.no_grad():\n    for x, y in val_loader:\n        out = model(x)\n"
    assert check("MLE0405/validation", {"t.py": code}) == []


def test_both_are_set_by_the_caller_and_a_decorator(check):
    code = HEAD + (
        "@torch.no_grad()\ndef evaluate(model, test_loader):\n    for x in test_loader:\n        model(x)\n"
        "model.eval()\nevaluate(model, d)\n"
    )
    assert check("MLE0405/validation", {"t.py": code}) == []
