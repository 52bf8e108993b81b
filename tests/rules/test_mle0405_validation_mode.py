HEAD = """\
import torch
model = torch.nn.Sequential(torch.nn.Dropout(0.5))
for e in range(2):
    loss.backward()
"""


def test_validation_in_training_mode(check, place):
    code = HEAD + "for x, y in val_loader:\n    out = model(x)\n"
    (finding,) = check("MLE0405/validation", {"t.py": code})
    assert place(finding) == ("t.py", 5)
    assert finding.severity == "medium" and "training mode" in finding.title


def test_gradients_that_nobody_needs(check):
    (finding,) = check(
        "MLE0405/validation", {"t.py": HEAD + "model.eval()\nfor x, y in val_loader:\n    out = model(x)\n"}
    )
    assert "gradients" in finding.title


def test_both_are_set(check):
    code = HEAD + "model.eval()\nwith torch.no_grad():\n    for x, y in val_loader:\n        out = model(x)\n"
    assert check("MLE0405/validation", {"t.py": code}) == []


def test_both_are_set_by_the_caller_and_a_decorator(check):
    code = HEAD + (
        "@torch.no_grad()\ndef evaluate(model, test_loader):\n    for x in test_loader:\n        model(x)\n"
        "model.eval()\nevaluate(model, d)\n"
    )
    assert check("MLE0405/validation", {"t.py": code}) == []


def test_a_model_that_a_helper_method_calls_is_one_finding_for_the_file(check, place):
    code = """\
        import torch
        class Experiment:
            def validate(self, vali_loader):
                self.model.eval()
                for batch in vali_loader:
                    out = self.step_of(batch)
            def test(self, test_loader):
                self.model.eval()
                for batch in test_loader:
                    out = self.step_of(batch)
            def train(self, train_loader):
                for batch in train_loader:
                    self.loss(self.step_of(batch)).backward()
            def step_of(self, batch):
                return self.model(batch)
        """
    (finding,) = check("MLE0405/validation", {"t.py": code})
    assert (place(finding), len(finding.evidence)) == (("t.py", 5), 2)
    quiet = code.replace("    def step_of", "    @torch.no_grad()\n            def step_of")
    assert check("MLE0405/validation", {"t.py": quiet}) == []


def test_a_function_that_is_given_the_held_out_batches(check, place):
    code = HEAD + "def accuracy(net, loader):\n    for x, y in loader:\n        out = model(x)\n"
    (finding,) = check("MLE0405/validation", {"t.py": code + "print(accuracy(model, test_loader))\n"})
    assert place(finding) == ("t.py", 6)
    assert check("MLE0405/validation", {"t.py": code + "print(accuracy(model, other))\n"}) == []


def test_a_bar_of_progress_that_is_made_before_the_loop(check, place):
    code = HEAD + "bar = tqdm({over}, total=9)\nmodel.eval()\nfor x, y in bar:\n    out = model(x)\n"
    code = "from tqdm import tqdm\n" + code
    (finding,) = check("MLE0405/validation", {"t.py": code.format(over="val_loader")})
    assert finding.title == "Validation keeps gradients"
    assert check("MLE0405/validation", {"t.py": code.format(over="other")}) == []


def test_a_loaded_model_that_comes_in_evaluation_mode(check):
    code = """
        import torch
        drop = torch.nn.Dropout(0.5)
        def load(path):
            model = torch.load(path)
            return model.to(device){mode}, 1
        @torch.no_grad()
        def judge(model, loader):
            for x, y in loader:
                out = model(x)
        def main():
            loss.backward()
            model, _ = load("m.pt")
            judge(model, test_loader)
        """
    assert check("MLE0405/validation", {"t.py": code.format(mode=".eval()")}) == []
    assert len(check("MLE0405/validation", {"t.py": code.format(mode="")})) == 1
