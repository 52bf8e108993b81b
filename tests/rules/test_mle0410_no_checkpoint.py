TORCH = (
    "import torch\nfor epoch in range({n}):\n    for x in loader:\n        loss = f(x)\n        loss.backward()\n{more}"
)


def test_many_epochs_and_nothing_is_saved(check, place):
    (finding,) = check("MLE0410", {"t.py": TORCH.format(n=50, more="")})
    assert place(finding) == ("t.py", 5)


def test_a_save_anywhere_in_the_program_is_enough(check):
    assert check("MLE0410", {"t.py": TORCH.format(n=50, more="torch.save(m, 'm.pt')\n")}) == []


def test_a_short_run_is_no_loss(check):
    assert check("MLE0410", {"t.py": TORCH.format(n=2, more="")}) == []


def test_keras_counts_its_epochs(check, place):
    code = "from keras.models import Sequential\nm = Sequential()\nm.fit(X, y, epochs={})\n"
    assert len(check("MLE0410", {"t.py": code.format(100)})) == 1
    assert check("MLE0410", {"t.py": code.format(5)}) == []
