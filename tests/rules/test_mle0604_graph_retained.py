import pytest

LOOP = """
import torch
total = 0
for x, y in loader:
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    {line}
"""


@pytest.mark.parametrize(
    "line", ["total += loss", "total = total + loss", "total += loss * x.size(0)", "self.sum += loss"]
)
def test_a_sum_of_losses_with_their_graph(check, place, line):
    (finding,) = check("MLE0604", {"train.py": LOOP.format(line=line)})
    assert (finding.severity.value, place(finding)) == ("high", ("train.py", 9))


@pytest.mark.parametrize(
    "line",
    [
        "total += loss.item()",
        "total += float(loss)",
        "total += loss.detach()",
        "total += loss.data[0]",
        "n += x.size(0)",
    ],
)
def test_numbers_taken_out_of_it(check, line):
    assert check("MLE0604", {"train.py": LOOP.format(line=line)}) == []


def test_a_sum_that_the_backward_pass_starts_from(check):
    text = (
        "import torch\nfor x in loader:\n    loss = f(x)\n    loss += g(x)\n    total = 0\n    total = total + loss\n"
    )
    assert check("MLE0604", {"train.py": text + "    total.backward()\n"}) == []


def test_a_total_that_is_differentiated_after_the_loop_needs_its_graph(check):
    text = LOOP.replace("loss.backward()", "loss.backward(retain_graph=True)").format(line="total += loss")
    assert check("MLE0604", {"train.py": text + "total.backward()\n"}) == []


def test_a_total_over_a_few_passes_of_one_batch(check):
    code = "import torch\nfor batch in loader:\n    total = 0.0\n    for _ in range(2):\n        loss = net(batch)\n"
    code += "        loss.backward()\n        total += loss\n    print(total.item())\n"
    assert check("MLE0604", {"t.py": code}) == []
    assert len(check("MLE0604", {"t.py": code.replace("for batch in loader", "for epoch in range(9)")})) == 1


def test_a_total_of_the_passes_of_one_optimiser_step(check):
    code = (
        "import torch\ndef train_batch(batches, n):\n    total = None\n    for i in range(n):\n"
        "        loss = net(next(batches))\n        loss.backward()\n"
        "        if total is None:\n            total = loss\n"
        "        else:\n            total += loss\n    optimizer.step()\n    return total.item()\n"
    )
    assert check("MLE0604", {"t.py": code}) == []
    stepping = code.replace("        loss.backward()", "        loss.backward()\n        optimizer.step()")
    assert len(check("MLE0604", {"t.py": stepping.replace("    optimizer.step()\n    return", "    return")})) == 1
