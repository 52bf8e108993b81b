import pytest

TRAIN = "from sklearn.svm import SVC\nm = SVC()\nm.fit(X, y)\nprint(m.score(a, b))\n"


def test_a_run_that_only_prints(check, place):
    (finding,) = check("MLE0408", {"t.py": TRAIN})
    assert place(finding) == ("t.py", 3)


@pytest.mark.parametrize(
    "more",
    [
        "import mlflow\nmlflow.autolog()\n",
        "import json\njson.dump({'accuracy': m.score(a, b)}, open('metrics.json', 'w'))\n",
        "with open('results.txt', 'w') as f:\n    f.write(str(m.score(a, b)))\n",
        "from torch.utils.tensorboard import SummaryWriter\nw = SummaryWriter()\n",
        "import tensorflow as tf\nw = tf.summary.FileWriter('logs')\n",
    ],
)
def test_a_tracker_or_a_file_is_enough(check, more):
    assert check("MLE0408", {"t.py": TRAIN + more}) == []


def test_reading_a_file_of_results_records_nothing(check):
    assert len(check("MLE0408", {"t.py": TRAIN + "old = open('results.txt').read()\n"})) == 1


def test_a_store_of_ones_own_is_enough(check):
    more = "registry.register_version('v1', accuracy=m.score(a, b))\n"
    assert check("MLE0408", {"t.py": TRAIN + more}) == []


def test_a_service_that_trains_and_records_is_enough(check):
    app = (
        "from flask import Flask\nfrom fitting import fit\napp = Flask(__name__)\n@app.route('/train')\n"
        "def train():\n    registry.register_version('v1', accuracy=fit())\n    return 'ok'\n"
    )
    fitting = "from sklearn.svm import SVC\ndef fit():\n    m = SVC()\n    m.fit(X, y)\n    return m.score(a, b)\n"
    assert check("MLE0408", {"app.py": app, "fitting.py": fitting}) == []
    assert len(check("MLE0408", {"app.py": app.replace("accuracy=", ""), "fitting.py": fitting})) == 1


def test_a_logger_that_a_configured_trainer_is_given(check):
    code = (
        "from pytorch_lightning.loggers import WandbLogger\nfrom sklearn.svm import SVC\n"
        "trainer = make(config, logger=WandbLogger('x'))\ntrainer.fit(pipeline)\n"
    )
    assert check("MLE0408", {"t.py": code}) == []


def test_a_file_of_figures_may_have_any_name(check):
    code = """
        import json
        from pathlib import Path
        from sklearn.linear_model import LogisticRegression
        META = Path("model.json")
        model = LogisticRegression().fit(X, y)
        about = {"version": 1, %s: round(value, 4)}
        META.write_text(json.dumps(about))
        """
    assert check("MLE0408", {"t.py": code % "'auc_roc'"}) == []
    assert len(check("MLE0408", {"t.py": code % "'rows'"})) == 1


@pytest.mark.parametrize(("column", "found"), [("test_set_accuracy", 0), ("rows", 1)])
def test_a_table_of_figures_that_a_helper_saves(check, column, found):
    code = f"""
        import pandas as pd
        from sklearn.svm import SVC
        from files import save_tables
        SVC().fit(X, y)
        run = pd.DataFrame([[now, value]], columns=["started", "{column}"])
        save_tables([run])
        """
    assert len(check("MLE0408", {"t.py": code, "files.py": "def save_tables(tables):\n    pass\n"})) == found


def test_of_several_programs_each_keeps_its_own_record(check, place):
    tracked = "import wandb\n" + TRAIN.replace("print(", "wandb.log(")
    quiet = "import joblib\n" + TRAIN.replace("print(m.score(a, b))", "joblib.dump(m, 'm.joblib')")
    (finding,) = check("MLE0408", {"a.py": tracked, "b.py": quiet})
    assert (place(finding), finding.title) == (("b.py", 4), "Some training programs leave no record of their runs")
    assert check("MLE0408", {"a.py": tracked, "b.py": "x = 1\n", "examples/b.py": quiet}) == []
    assert check("MLE0408", {"a.py": tracked, "c.py": quiet, "conf/log.yaml": "logger: wandb\n"}) == []


def test_answers_in_the_form_of_a_benchmark_are_no_figures(check):
    code = (
        "import json\n{train}results = [{{'image_id': i, 'score': s}}]\njson.dump(results, open('{name}.json', 'w'))\n"
    )
    assert len(check("MLE0408", {"t.py": code.format(train=TRAIN, name="val_bbox_results")})) == 1
    assert check("MLE0408", {"t.py": code.format(train=TRAIN, name="metrics")}) == []


def test_curves_of_an_ordered_dictionary_and_a_trainer_made_by_its_name(check):
    code = "from collections import OrderedDict\nimport pandas as pd\n{train}log = OrderedDict([('{key}', [])])\n"
    code += "pd.DataFrame(log).to_csv('log.csv')\n"
    assert check("MLE0408", {"t.py": code.format(train=TRAIN, key="val_iou")}) == []
    assert len(check("MLE0408", {"t.py": code.format(train=TRAIN, key="epoch")})) == 1
    conf = "class Conf:\n    _target_: str = 'pytorch_lightning.Trainer'\n"
    assert check("MLE0408", {"t.py": TRAIN, "conf.py": conf}) == []


def test_azures_functions_track_no_training(check):
    serve = "import azure.functions as func\ndef main(req: func.HttpRequest):\n    return req\n"
    train = "import joblib\nfrom sklearn.svm import SVC\nm = SVC().fit(X, y)\njoblib.dump(m, 'm.joblib')\n"
    assert len(check("MLE0408", {"train.py": train, "f/__init__.py": serve})) == 1
    tracked = "from azure.ai.ml import MLClient\n" + train
    assert check("MLE0408", {"train.py": tracked, "f/__init__.py": serve}) == []


def test_a_checkpoint_that_holds_a_figure_is_no_record(check):
    code = "import torch\nloss.backward()\nstate = {'net': net, 'acc': acc}\ntorch.save(state, 'ckpt.pth')\n"
    assert len(check("MLE0408", {"t.py": code})) == 1


def test_metrics_that_only_the_service_keeps(check):
    serve = "import cdsw\n@cdsw.model_metrics\ndef ask(args):\n    cdsw.track_metric('x', 1)\n"
    train = "import joblib\nfrom sklearn.svm import SVC\nm = SVC().fit(X, y)\njoblib.dump(m, 'm.joblib')\n"
    assert len(check("MLE0408", {"train.py": train, "serve.py": serve})) == 1
    assert check("MLE0408", {"train.py": f"import cdsw\n{train}cdsw.track_metric('f1', f)\n", "serve.py": serve}) == []


def test_estimators_of_tensorflow_write_their_own_summaries(check):
    code = (
        "import tensorflow as tf\nmodel = tf.estimator.Estimator(model_fn=f, model_dir='runs')\n"
        "model.train(input_fn=data, steps=9)\n"
    )
    assert check("MLE0408", {"train.py": code}) == []


@pytest.mark.parametrize(("key", "found"), [("r2 score", 0), ("columns", 1)])
def test_what_a_function_gave_is_dumped(check, key, found):
    more = f"import json\ndef about(m):\n    d = {{'{key}': m.x}}\n    return d\nmeta = about(m)\n"
    more += "with open(PATH, 'w') as out:\n    json.dump(meta, out)\n"
    assert len(check("MLE0408", {"t.py": TRAIN + more})) == found
