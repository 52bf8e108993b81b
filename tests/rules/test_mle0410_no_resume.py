TORCH = "import torch\nfor epoch in range(50):\n    loss.backward()\n    torch.save(m.state_dict(), 'm.pt')\n"


def test_saved_but_never_loaded(check, place):
    (finding,) = check("MLE0410/resume", {"t.py": TORCH})
    assert place(finding) == ("t.py", 4)
    assert finding.severity == "low"


def test_a_way_to_go_on_is_enough(check):
    assert (
        check(
            "MLE0410/resume", {"t.py": "import torch\nif args.resume:\n    m.load_state_dict(torch.load(p))\n" + TORCH}
        )
        == []
    )


def test_nothing_saved_is_another_rule(check):
    assert check("MLE0410/resume", {"t.py": "for epoch in range(50):\n    loss.backward()\n"}) == []
