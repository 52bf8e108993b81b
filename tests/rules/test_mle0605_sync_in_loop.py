LOOP = """
import torch
for i, x in enumerate(loader):
    loss = model(x.cuda()).sum()
    loss.backward()
{line}
"""


def test_a_value_read_in_every_step(check, place):
    (finding,) = check("MLE0605", {"train.py": LOOP.format(line="    print(loss.item())")})
    assert (finding.severity.value, place(finding)) == ("low", ("train.py", 6))


def test_every_hundredth_step_or_after_the_loop(check):
    guarded = "    if i % 100 == 0:\n        print(loss.item())"
    assert check("MLE0605", {"train.py": LOOP.format(line=guarded)}) == []
    assert check("MLE0605", {"train.py": LOOP.format(line="print(loss.item())")}) == []
