import pytest

NET = """\
import torch
import torch.nn as nn
import torch.nn.functional as F
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, {units})
        self.head = nn.Sequential(nn.Linear(4, 2), nn.Sigmoid())
    def forward(self, x):
        x = F.relu(x)
        {end}
model = Net().to("cpu")
criterion = nn.{loss}()
out = model(x).squeeze()
loss = criterion(out, y)
"""


def net(end, loss, units=3):
    return NET.format(end=end, loss=loss, units=units)


@pytest.mark.parametrize(
    ("end", "loss"),
    [
        ("return F.softmax(self.fc(x), dim=1)", "CrossEntropyLoss"),
        ("return self.fc(x)", "BCELoss"),
        ("return torch.sigmoid(self.fc(x))", "BCEWithLogitsLoss"),
        ("return self.head(x)", "BCEWithLogitsLoss"),
        ("return self.fc(x)", "NLLLoss"),
    ],
)
def test_losses_that_do_not_fit(check, place, end, loss):
    (finding,) = check("MLE0406", {"t.py": net(end, loss)})
    assert place(finding) == ("t.py", 13)
    assert finding.evidence[1].line_start == 15
    assert finding.severity == "high" and loss in finding.title


@pytest.mark.parametrize(
    ("end", "loss"),
    [
        ("return self.fc(x)", "CrossEntropyLoss"),
        ("return torch.sigmoid(self.fc(x))", "BCELoss"),
        ("return F.log_softmax(self.fc(x), dim=1)", "NLLLoss"),
        ("return self.unknown(x)", "BCELoss"),
        ("return F.softmax(self.fc(x), 1) if self.training else self.fc(x)", "CrossEntropyLoss"),
    ],
)
def test_losses_that_fit_or_cannot_be_judged(check, end, loss):
    assert check("MLE0406", {"t.py": net(end, loss)}) == []


def test_the_loss_and_the_model_come_through_parameters(check, place):
    code = net("return F.softmax(self.fc(x), dim=1)", "CrossEntropyLoss").rsplit("out =", 1)[0] + (
        "def step(m, criterion, x, y):\n    out = m(x)\n    return criterion(out, y)\nstep(model, criterion, x, y)\n"
    )
    (finding,) = check("MLE0406", {"t.py": code})
    assert place(finding) == ("t.py", 13)
    assert finding.evidence[1].line_start == 16


KERAS = """\
from tensorflow.keras.models import Sequential
from tensorflow.keras.layers import Dense
from tensorflow.keras.losses import SparseCategoricalCrossentropy
model = Sequential([Dense(8, activation="relu")])
model.add(Dense({last}))
model.compile(optimizer="adam", loss={loss})
"""


@pytest.mark.parametrize(
    ("last", "loss"),
    [
        ("10, activation='softmax'", "SparseCategoricalCrossentropy(from_logits=True)"),
        ("10", "'categorical_crossentropy'"),
        ("1, activation='softmax'", "'binary_crossentropy'"),
        ("1, activation='sigmoid'", "'categorical_crossentropy'"),
    ],
)
def test_keras_losses_that_do_not_fit(check, place, last, loss):
    (finding,) = check("MLE0406", {"t.py": KERAS.format(last=last, loss=loss)})
    assert place(finding) == ("t.py", 6)


@pytest.mark.parametrize(
    ("last", "loss"),
    [
        ("10, activation='softmax'", "'categorical_crossentropy'"),
        ("10", "SparseCategoricalCrossentropy(from_logits=True)"),
        ("1, activation='sigmoid'", "'binary_crossentropy'"),
        ("1", "'mse'"),
        ("10, activation=act", "'categorical_crossentropy'"),
    ],
)
def test_keras_losses_that_fit(check, last, loss):
    assert check("MLE0406", {"t.py": KERAS.format(last=last, loss=loss)}) == []
