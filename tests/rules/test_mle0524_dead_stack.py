import pytest


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        ("handler.py", "import os\nfrom ts.torch_handler.base_handler import BaseHandler\n", 2),
        ("start.sh", "cd /srv\ntorchserve --start --model-store m\n", 2),
        ("Dockerfile", "FROM pytorch/torchserve:latest\n", 1),
        ("m.yaml", "kind: SeldonDeployment\napiVersion: machinelearning.seldon.io/v1\n", 2),
        ("e.py", "import tensorflow as tf\nb = tf.saved_model.builder.SavedModelBuilder('m')\n", 2),
        ("r.py", "from azureml.core import Workspace\n", 1),
    ],
)
def test_an_unmaintained_stack_is_reported_where_it_shows(check, place, path, text, line):
    (finding,) = check("MLE0524", {path: text, "a.py": ""})
    assert place(finding) == (path, line)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", "import bentoml\n"),
        ("README.md", "We moved from torchserve to Triton.\n"),
        ("e.py", "import tensorflow as tf\ntf.saved_model.save(m, 'm')\n"),
        ("r.py", "from azure.ai.ml import MLClient\nimport azureml.mlflow\n"),
    ],
)
def test_maintained_ones_and_words_are_fine(check, path, text):
    assert check("MLE0524", {path: text}) == []


def test_a_message_that_names_a_stack_runs_nothing(check):
    assert check("MLE0524", {"pack.sh": 'echo "run torch-model-archiver first" >&2\n', "a.py": ""}) == []


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        ("apiVersion: serving.kserve.io/v1alpha1\nkind: ClusterServingRuntime\nspec:\n  ", ""),
        ("apiVersion: serving.knative.dev/v1\nkind: Service\nspec: {template: {spec: {\n  ", "}}}"),
    ],
)
def test_the_image_of_a_serving_runtime(check, place, head, tail):
    text = f"{head}containers: [{{image: pytorch/torchserve-kfs:0.12.0}}]{tail}\n"
    (finding,) = check("MLE0524", {"m.yaml": text, "a.py": ""})
    assert place(finding) == ("m.yaml", 4)
