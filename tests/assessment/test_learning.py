"""What counts as training, and which half of the data an expression holds."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest

from ml_engineer.assessment.artefacts import model_writes
from ml_engineer.assessment.judging import read_paths
from ml_engineer.assessment.learning import saves_of_fitted, train_entries, trainings
from ml_engineer.assessment.repo import Repo
from ml_engineer.assessment.splits import find_splits, half


def repository(folder: Path, **files: str) -> Repo:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    return Repo.open(folder)


def test_a_backward_pass_that_explains_is_no_training(tmp_path):
    repo = repository(tmp_path, gradcam="score[0].backward()\n", train="loss.backward()\noptimizer.step()\n")
    assert [call.module.path for call in trainings(repo)] == ["train.py"]


def test_a_training_that_a_service_starts_is_an_entry(tmp_path):
    repo = repository(
        tmp_path,
        app="""
        from flask import Flask
        from sklearn.svm import SVC
        app = Flask(__name__)
        @app.route("/train")
        def train():
            SVC().fit(X, y)
        """,
    )
    assert [entry.site.line for entry in train_entries(repo)] == [7]


HALVES = """
from sklearn.model_selection import train_test_split, KFold
from torch.utils.data import random_split
X_train, X_test, y_train, y_test = train_test_split(load(), target())
a, b = train_test_split(X_train)
first, second = random_split(data, [8, 2])
for i, (tr, va) in enumerate(KFold(3).split(X)):
    fold = X[va]
mask = numpy.random.rand(len(df)) < 0.8
train, test = df[mask], df[~mask]
renamed = test.copy()
(x1, y1), (x2, y2) = keras.datasets.mnist.load_data()
other = load()
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("X_test", "test"),
        ("y_train", "train"),
        ("a", "train"),
        ("b", "test"),
        ("second", "test"),
        ("fold", "valid"),
        ("renamed", "test"),
        ("x2", "test"),
        ("y1", "train"),
        ("other", None),
    ],
)
def test_halves(tmp_path, name, expected):
    repo = repository(tmp_path, main="import numpy, keras\n" + HALVES.strip() + f"\nsink({name})\n")
    module = repo.by_path["main.py"]
    call = next(c for c in module.calls if ast.unparse(c.node.func) == "sink")
    assert half(repo, module, call.node.args[0]) == expected


def test_a_permutation_that_is_cut_divides_the_frames_it_indexes(tmp_path):
    repo = repository(
        tmp_path,
        main="""
        import numpy as np
        order = np.random.permutation(len(X))
        train_idx, test_idx = order[:80], order[80:]
        X_train, X_test = X[train_idx], X[test_idx]
        """,
    )
    (split,) = find_splits(repo)
    assert split.kind == "hand" and split.shuffled
    assert {ast.unparse(value) for value in split.inputs} == {"X"}


def test_two_slices_that_are_no_halves_of_a_split(tmp_path):
    assert find_splits(repository(tmp_path, main="train = 1\ntest = 2\nhead, tail = rows[:5], rows[5:]\n")) == []


def test_the_default_of_an_option_is_a_path_that_is_read(tmp_path):
    repo = repository(
        tmp_path,
        main="""
        import argparse
        def main(args):
            sink(args.data_dir)
        parser = argparse.ArgumentParser()
        parser.add_argument("-d", "--data-dir", default="data/raw.csv")
        main(parser.parse_args())
        """,
    )
    module = repo.by_path["main.py"]
    call = next(c for c in module.calls if ast.unparse(c.node.func) == "sink")
    assert read_paths(repo, module, call.node.args[0]) == {"data/raw.csv"}


def test_a_fit_of_something_named_like_preparation_is_no_training(tmp_path):
    repo = repository(
        tmp_path, prep="def prepare(words, bag_of_words, clf):\n    bag_of_words.fit(words)\n    clf.fit(words)\n"
    )
    assert [ast.unparse(call.node.func) for call in trainings(repo)] == ["clf.fit"]


@pytest.mark.parametrize(
    "code",
    [
        "import segmentation_models_pytorch as smp\ne = smp.utils.train.TrainEpoch(net, loss=l)\ne.run(loader)\n",
        "from ignite.engine import create_supervised_trainer\nt = create_supervised_trainer(n, o, l)\nt.run(loader)\n",
        "import tensorflow as tf\nm = tf.estimator.DNNClassifier([8])\nm.train(read)\n",
    ],
)
def test_a_library_may_hold_the_loop(tmp_path, code):
    (tmp_path / "train.py").write_text(code)
    (call,) = trainings(Repo.open(tmp_path))
    assert call.node.lineno == 3


def test_an_optimiser_of_functions_trains_nothing(tmp_path):
    repo = repository(tmp_path, fit="from scipy import optimize\noptimize.minimize(f, x0)\n")
    assert trainings(repo) == []


def test_a_model_of_a_local_function_is_saved_where_it_is_fitted(tmp_path):
    text = """
        from tensorflow import keras
        def build():
            model = keras.Sequential()
            return model
        model = build()
        model.fit(x, y)
        model.save("m")
        figure.save("f.png")
        """
    repo = repository(tmp_path, train=text)
    assert [call.node.lineno for call in saves_of_fitted(repo)] == [8]
    assert 8 in [call.node.lineno for call in model_writes(repo)]


def test_fitting_what_prepares_rows_is_no_training(tmp_path):
    text = """
        from sklearn.pipeline import make_pipeline
        def get_preprocessing_pipeline():
            return make_pipeline(a, b)
        def get_pipeline():
            return make_pipeline(a, c)
        get_preprocessing_pipeline().fit(x)
        get_pipeline().fit(x, y)
        def build_feature_pipeline():
            return make_pipeline(a, b)
        build_feature_pipeline().fit(x)
        """
    assert [call.node.lineno for call in trainings(repository(tmp_path, train=text))] == [8]


def test_a_class_called_generator_that_builds_a_network_trains_it(tmp_path):
    (tmp_path / "captions.py").write_text(
        "from keras.models import Sequential\nclass CaptionGenerator:\n    def create(self):\n"
        "        model = Sequential()\n        return model\n"
    )
    (tmp_path / "train.py").write_text(
        "import captions\nmodel = captions.CaptionGenerator().create()\nmodel.fit(x, y)\n"
    )
    assert [call.module.path for call in trainings(Repo.open(tmp_path))] == ["train.py"]
