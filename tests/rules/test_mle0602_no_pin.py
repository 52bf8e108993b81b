TRAIN = """
import torch
from torch.utils.data import DataLoader
loader = DataLoader(ds, batch_size=8{pin})
for x, y in loader:
    loss = model(x{cuda}).sum()
    loss.backward()
"""


def test_one_finding_for_the_repository(check, place):
    files = {
        "a.py": TRAIN.format(pin="", cuda=".cuda()"),
        "b.py": TRAIN.format(pin=", pin_memory=False", cuda=".cuda()"),
    }
    (finding,) = check("MLE0602", files)
    assert (place(finding), len(finding.evidence)) == (("a.py", 4), 2)


def test_pinned_or_on_the_cpu(check):
    assert check("MLE0602", {"a.py": TRAIN.format(pin=", pin_memory=True", cuda=".cuda()")}) == []
    assert check("MLE0602", {"a.py": TRAIN.format(pin="", cuda="")}) == []
