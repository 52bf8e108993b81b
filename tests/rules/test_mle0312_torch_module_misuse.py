NET = (
    "import torch.nn as nn\nclass Net(nn.Module):\n    def __init__(self):\n        {init}\n"
    "        self.fc = nn.Linear(2, 2)\n"
)
RUN = "    def forward(self, x):\n        return self.fc(x)\nmodel = Net()\n"


def test_forward_on_a_module_is_low(check, place):
    text = NET.format(init="super().__init__()") + RUN + "y = model.forward(x)\n"
    (finding,) = check("MLE0312", {"a.py": text})
    assert finding.severity.value == "low"
    assert place(finding) == ("a.py", 9)


def test_a_module_that_never_calls_its_base_is_high(check, place):
    (finding,) = check("MLE0312", {"a.py": NET.format(init="self.n = 2") + RUN})
    assert finding.severity.value == "high"
    assert place(finding) == ("a.py", 3)


def test_calling_the_module_and_forward_of_other_things_are_silent(check):
    good = NET.format(init="super(Net, self).__init__()") + RUN + "y = model(x)\n"
    assert check("MLE0312", {"a.py": good}) == []
    assert check("MLE0312", {"a.py": good + "import cv2\nnet = cv2.dnn.readNet('a')\nout = net.forward()\n"}) == []
    assert check("MLE0312", {"a.py": NET.format(init="nn.Module.__init__(self)") + RUN}) == []


def test_a_module_without_layers_needs_no_base(check):
    text = (
        "import torch.nn as nn\nclass Scale(nn.Module):\n    def __init__(self, k):\n        self.__dict__['k'] = k\n"
    )
    assert check("MLE0312", {"a.py": text}) == []
