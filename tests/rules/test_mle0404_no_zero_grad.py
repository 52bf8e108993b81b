import pytest

LOOP = """\
import torch
optimizer = torch.optim.Adam(model.parameters())
for epoch in range(3):
    {outer}
    for x, y in loader:
        {before}
        loss = f(model(x), y)
        loss.backward()
        optimizer.step()
        {after}
"""


def loop(outer="pass", before="pass", after="pass"):
    return LOOP.format(outer=outer, before=before, after=after)


def test_gradients_that_are_never_cleared(check, place):
    (finding,) = check("MLE0404", {"t.py": loop()})
    assert place(finding) == ("t.py", 8)
    assert finding.severity == "high"


def test_cleared_once_an_epoch_but_stepped_every_batch(check):
    assert len(check("MLE0404", {"t.py": loop(outer="optimizer.zero_grad()")})) == 1


@pytest.mark.parametrize(
    "code",
    [
        loop(before="optimizer.zero_grad()"),
        loop(before="model.zero_grad(set_to_none=True)"),
        loop(after="optimizer.zero_grad()"),
        loop(before="for p in model.parameters(): p.grad = None"),
        loop(before="for p in model.parameters(): p.grad.data.zero_()"),
        "def clear(o):\n    o.zero_grad()\n" + loop(before="clear(optimizer)"),
        # accumulation: a step only now and then, with the clearing beside it
        "for i, x in loader:\n    f(x).backward()\n    if i % 4 == 0:\n        opt.step()\n        opt.zero_grad()\n",
        # the engine clears by itself
        "for x in loader:\n    loss = engine(x)\n    engine.backward(loss)\n    engine.step()\n",
        # the scheduler's step is none of the optimizer
        "for x in loader:\n    f(x).backward()\n    scheduler.step()\n",
        # the step stands in a function; its caller clears
        "def batch(x):\n    f(x).backward()\n    opt.step()\nfor x in loader:\n    opt.zero_grad()\n    batch(x)\n",
    ],
)
def test_correct_loops(check, code):
    assert check("MLE0404", {"t.py": code}) == []


def test_steps_on_ones_that_are_only_timed(check):
    code = """\
        import time
        import torch
        def run(layer, optimizer):
            x = {data}
            start = time.time()
            for i in range(1000):
                loss = layer(x).mean()
                loss.backward()
                optimizer.step()
            print(time.time() - start)
        run(torch.nn.Linear(8, 1), torch.optim.Adam([]))
        """
    assert check("MLE0404", {"a.py": code.format(data="torch.ones(4, 8)")}) == []
    assert len(check("MLE0404", {"a.py": code.format(data="torch.randn(4, 8)")})) == 1
