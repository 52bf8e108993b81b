import pytest

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.2))

    def forward(self, x):
        return self.body(x)
"""
APP = """
import torch
from flask import Flask, request
from net import Net
app = Flask(__name__)
model = Net()
model.load_state_dict(torch.load("net.pt"))
{mode}
@app.route("/predict", methods=["POST"])
def predict():
    x = torch.tensor(request.get_json())
{body}
"""
PLAIN = "    return str(model(x).tolist())"
GUARDED = "    with torch.inference_mode():\n        return str(model(x).tolist())"


def run(check, mode, body):
    return check("MLE0510", {"net.py": NET, "app.py": APP.format(mode=mode, body=body)})


def test_neither_eval_nor_no_grad_are_two_findings(check, place):
    findings = run(check, "", PLAIN)
    assert [(f.severity.value, place(f)) for f in findings] == [("high", ("app.py", 12)), ("medium", ("app.py", 12))]


def test_eval_and_inference_mode_are_clean(check):
    assert run(check, "model.eval()", GUARDED) == []


def test_only_gradients_are_left(check):
    (finding,) = run(check, "model.eval()", PLAIN)
    assert finding.severity.value == "medium"


def test_helpers_in_other_modules_count(check):
    files = {
        "net.py": NET
        + "def load():\n    m = Net()\n    m.load_state_dict(torch.load('n.pt'))\n    m.eval()\n    return m\n",
        "infer.py": "from net import load\nmodel = load()\ndef run(x):\n    return model(x)\n",
        "app.py": """
            import torch
            from flask import Flask, request
            from infer import run
            app = Flask(__name__)
            @app.route("/p")
            def p():
                with torch.no_grad():
                    return str(run(request.args["x"]))
            """,
    }
    assert check("MLE0510", files) == []


def test_a_model_that_comes_in_as_a_parameter(check, place):
    script = "import torch\nfrom net import Net\ndef answer(model, x):\n    return model(x)\n"
    script += "net = Net()\nnet.load_state_dict(torch.load('n.pt'))\nprint(answer(net, torch.ones(4)))\n"
    findings = check("MLE0510", {"net.py": NET, "predict.py": script})
    assert [place(f) for f in findings] == [("predict.py", 4)] * 2


@pytest.mark.parametrize("made", ["AutoModel.from_pretrained('a/b')", "pipeline('text-classification')"])
def test_what_comes_in_evaluation_mode(check, made):
    text = f"""
        import torch
        from transformers import AutoModel, pipeline
        from fastapi import FastAPI
        app = FastAPI()
        model = {made}
        @app.get("/p")
        def p(x: str):
            with torch.no_grad():
                return model(x)
        """
    assert check("MLE0510", {"app.py": text}) == []


def test_a_model_without_modal_layers_is_low(check):
    findings = check(
        "MLE0510",
        {"net.py": NET.replace(", nn.Dropout(0.2)", ""), "app.py": APP.format(mode="", body=GUARDED)},
    )
    assert [f.severity.value for f in findings] == ["low"]


def test_training_code_is_no_subject(check):
    text = "from net import Net\nimport torch\nm = Net()\nm.load_state_dict(torch.load('n.pt'))\n"
    text += "loss = m(torch.ones(4)).sum()\nloss.backward()\n"
    assert check("MLE0510", {"net.py": NET, "train.py": text}) == []


def test_a_model_that_a_class_is_given(check, place):
    script = """
        import torch
        from net import Net

        class Answers:
            def __init__(self, model):
                self.model = model
            def run(self, x):
                return self.model(x)

        net = Net()
        net.load_state_dict(torch.load("n.pt"))
        print(Answers(net).run(torch.ones(4)))
        """
    findings = check("MLE0510", {"net.py": NET, "predict.py": script})
    assert [place(f) for f in findings] == [("predict.py", 9)] * 2


def test_what_prepares_the_input_is_no_model(check):
    code = """
        import torch
        import segmentation_models_pytorch as smp
        preprocess = smp.encoders.get_preprocessing_fn("resnet34", "imagenet")
        model = torch.load("unet.pt")
        def answer(image):
            return model.predict(preprocess(image))
    """
    assert check("MLE0510", {"infer.py": code}) == []
    guarded = NET.format(told="").replace("        return F", "        if self.training:\n            return F")
    assert check("MLE0510", {"net.py": guarded}) == []


def test_a_function_that_is_compiled_is_no_model(check):
    code = """
        import torch
        class Step:
            def __init__(self):
                self._terms = torch.compile(terms)
            def run(self, x):
                return self._terms(x)
        weights = torch.load("w.pt")
        Step().run(weights)
    """
    assert check("MLE0510", {"step.py": code}) == []


def test_a_network_that_is_imported_from_the_wrong_place(check, place):
    script = (
        "import torch\nfrom model import Net\nnet = Net()\nnet.load_state_dict(torch.load('n.pt'))\n"
        "with torch.no_grad():\n    print(net(torch.ones(4)))\n"
    )
    (finding,) = check("MLE0510", {"models/net.py": NET, "predict.py": script})
    assert place(finding) == ("predict.py", 6)
    assert check("MLE0510", {"models/net.py": NET, "nets/old.py": NET, "predict.py": script}) == []


def test_what_is_done_with_the_result_of_dropout_is_no_dropout(check):
    code = """\
        import torch
        from torch.nn import functional as F
        class Net(torch.nn.Module):
            def forward(self, x):
                x = F.dropout(x, 0.5, self.training)
                x = x.transpose(1, 2)
                return x
        """
    assert [f for f in check("MLE0510", {"net.py": code}) if f.severity == "high"] == []


def test_yolo_from_the_hub_switches_gradients_off_itself(check):
    text = """
        import torch
        from flask import Flask
        app = Flask(__name__)
        model = torch.hub.load("OWNER/yolov5", "yolov5s")
        model.eval()
        @app.route("/p")
        def p():
            return str(model([1]))
        """
    assert check("MLE0510", {"app.py": text.replace("OWNER", "ultralytics")}) == []
    assert len(check("MLE0510", {"app.py": text.replace("OWNER", "someone")})) == 1


def test_a_model_that_was_saved_as_it_is(check, place):
    code = "import torch\nkept = torch.load('a.pt')\nmodel = kept['model'].to('cpu')\nmodel.eval()\ny = model(x)\n"
    (finding,) = check("MLE0510", {"detect.py": code})
    assert (place(finding), finding.severity) == (("detect.py", 5), "medium")
