APP = """
import torch
from flask import Flask
app = Flask(__name__)
{load}
@app.route("/p")
def p():
    return str(model(torch.ones(4)))
"""


def run(check, load, **files):
    return check("MLE0512", {"app.py": APP.format(load=load), **files})


def test_cuda_without_asking(check, place):
    (finding,) = run(check, "model = torch.load('m.pt', map_location='cpu').cuda()")
    assert place(finding) == ("app.py", 5)


def test_a_constant_of_another_module_is_reported_where_it_stands(check, place):
    load = "import config\nmodel = torch.load('m.pt', map_location='cpu').to(config.DEVICE)"
    (finding,) = run(check, load, **{"config.py": "LR = 1\nDEVICE = 'cuda'\n"})
    assert place(finding) == ("config.py", 2)


def test_a_load_without_map_location(check, place):
    (finding,) = run(check, "model = torch.load('m.pt')")
    assert place(finding) == ("app.py", 5)
    assert "map_location" in finding.title


def test_a_script_that_answers_with_finished_weights_is_a_subject_one_that_trains_is_not(check, place):
    net = "import torch\nclass Net(torch.nn.Module):\n    pass\nmodel = Net()\n"
    net += "model.load_state_dict(torch.load('m.pt'))\n"
    chat = net + "model.eval()\nprint(model(torch.ones(1)))\n"
    (finding,) = check("MLE0512", {"chat.py": chat, "train.py": net + "model(torch.ones(1)).sum().backward()\n"})
    assert place(finding) == ("chat.py", 5)


def test_the_default_of_a_parameter_is_the_callers_choice(check):
    load = (
        "def net(device=torch.device('cuda:0')):\n    return torch.load('m', map_location=device)\nmodel = net('cpu')"
    )
    assert run(check, load) == []


def test_guards_and_fallbacks_are_fine(check):
    assert run(check, "d = 'cuda' if torch.cuda.is_available() else 'cpu'\nmodel = torch.load('m', d).to(d)") == []
    guarded = "model = torch.load('m', map_location='cpu')\nif torch.cuda.is_available():\n    model = model.cuda()"
    assert run(check, guarded) == []


def test_training_asks_for_its_gpu_too_but_a_tool_is_no_subject(check, place):
    train = "import torch\nmodel = torch.nn.Linear(1, 1).cuda()\nmodel(torch.ones(1)).sum().backward()\n"
    files = {"train.py": train, "tools.py": "import torch\ndef probe():\n    return torch.ones(1).cuda()\n"}
    (finding,) = run(check, "model = torch.load('m', map_location='cpu')", **files)
    assert place(finding) == ("train.py", 2)


def test_the_branch_of_a_host_with_a_gpu_may_load_onto_it(check):
    load = "if torch.cuda.is_available() == False:\n    s = torch.load('m', map_location='cpu')\n"
    load += "else:\n    s = torch.load('m')"
    assert run(check, load + "\nmodel.load_state_dict(s)") == []
    assert len(run(check, load.replace("cuda.is_available()", "quick()") + "\nmodel.load_state_dict(s)")) == 1


def test_the_device_of_a_process_of_many_is_no_demand(check):
    load = "model = torch.load('m.pt', map_location='cpu')\nif local_rank != -1:\n    model.to(torch.device('cuda'))"
    assert run(check, load) == []
