import os
import pickle
from collections import OrderedDict

import pytest

from ml_engineer.assessment.rules.mle0112_artefact_dangerous import is_dangerous


class Runs:
    def __reduce__(self):
        return os.system, ("true",)


def test_a_pickle_that_runs_a_command(check, place):
    (finding,) = check("MLE0112", {"models/m.pkl": pickle.dumps({"model": Runs()})})
    assert (place(finding), finding.severity) == (("models/m.pkl", 1), "critical")
    assert "system" in finding.title


def test_a_harmless_pickle_and_a_fixture_of_a_test(check):
    files = {"m.pkl": pickle.dumps(OrderedDict(a=1)), "tests/evil.pkl": pickle.dumps(Runs())}
    assert check("MLE0112", files) == []


@pytest.mark.parametrize(
    "name", ["builtins.eval", "subprocess.Popen", "posix.system", "runpy._run_code", "torch.hub.load"]
)
def test_dangerous_names(name):
    assert is_dangerous(name)


@pytest.mark.parametrize(
    "name", ["sklearn.svm._classes.SVC", "numpy.core.multiarray._reconstruct", "builtins.set", "copyreg._reconstructor"]
)
def test_names_of_models(name):
    assert not is_dangerous(name)


def test_a_lambda_layer_with_code(check):
    layer = b'{"class_name": "Lambda", "config": {"function_type": "lambda", "function": ["4wEAAA"]}}'
    (finding,) = check("MLE0112", {"m.h5": b"\x89HDF\r\n\x1a\n" + b"keras" + layer})
    assert finding.severity == "critical"
