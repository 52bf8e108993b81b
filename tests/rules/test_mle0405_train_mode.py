import pytest

HEAD = "import torch\nnet = torch.nn.Sequential(torch.nn.Dropout(0.5))\n"
TRAIN = "def train():\n    {mode}\n    for x in loader:\n        f(net(x)).backward()\n"
VALIDATE = "def validate():\n    net.eval()\n    for x in val_loader:\n        net(x)\n"
EPOCHS = "{before}\nfor epoch in range(9):\n    train()\n    validate()\n"


def program(mode="pass", before="pass"):
    return HEAD + TRAIN.format(mode=mode) + VALIDATE + EPOCHS.format(before=before)


def test_evaluation_mode_is_never_left(check, place):
    (finding,) = check("MLE0405", {"t.py": program()})
    assert place(finding) == ("t.py", 8)
    assert finding.severity == "high"


def test_training_mode_once_before_the_epochs_does_not_help(check):
    assert len(check("MLE0405", {"t.py": program(before="net.train()")})) == 1


def test_training_mode_in_every_epoch_is_right(check):
    assert check("MLE0405", {"t.py": program(mode="net.train()")}) == []


def test_without_layers_that_care_it_is_low(check):
    code = program().replace("torch.nn.Dropout(0.5)", "torch.nn.Linear(1, 1)")
    (finding,) = check("MLE0405", {"t.py": code})
    assert finding.severity == "low"


def test_evaluation_after_all_epochs_is_right(check):
    code = HEAD + TRAIN.format(mode="pass") + VALIDATE + "for epoch in range(9):\n    train()\nvalidate()\n"
    assert check("MLE0405", {"t.py": code}) == []


@pytest.mark.parametrize("name", ["teacher", "self.sampler", "self.inception_v3"])
def test_a_frozen_teacher_in_evaluation_mode_is_right(check, name):
    code = HEAD + TRAIN.format(mode=f"{name}.eval()") + "for epoch in range(9):\n    train()\n"
    assert check("MLE0405", {"t.py": code}) == []


def test_a_backward_pass_that_explains_is_no_training(check):
    assert check("MLE0405", {"heatmap.py": program()}) == []


def test_a_validation_that_loads_the_model_again_is_right(check):
    code = HEAD + TRAIN.format(mode="pass") + VALIDATE.replace("net.eval()", "net = torch.load('m.pt')\n    net.eval()")
    assert check("MLE0405", {"t.py": code + EPOCHS.format(before="pass")}) == []
