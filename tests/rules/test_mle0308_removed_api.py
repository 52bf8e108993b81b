import json

import pytest


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("import numpy as np\nx = np.zeros(3, dtype=np.float)\n", 2),
        ("from sklearn.externals import joblib\n", 1),
        ("from sklearn.datasets import load_boston\n", 1),
        ("import sklearn.cross_validation as cv\n", 1),
        ("import tensorflow as tf\nsession = tf.Session()\n", 2),
        ("import pandas as pd\ndf = pd.read_csv('a')\ndf = df.append(df)\n", 3),
        ("import pandas as pd\ndf = pd.read_csv('a')\nc = [n for n, t in df.dtypes.iteritems()]\n", 3),
        ("from evidently.report import Report\n", 1),
        ("import seaborn as sns\nsns.regplot(y_test, predictions)\n", 2),
        ("import pandas as pd\ndef f(t):\n    return t.append({}, ignore_index=True)\n", 3),
        ("from sklearn.preprocessing import OneHotEncoder\nOneHotEncoder(sparse=False)\n", 2),
        ("from keras.models import load_model\nm = load_model('x')\nm.fit_generator(g)\n", 3),
        ("from flask import Markup\n", 1),
        ("from sklearn.model_selection import KFold\nk = KFold(n_splits=3, random_state=0)\n", 2),
        ("from sklearn.model_selection import StratifiedKFold as S\nk = S(5, random_state=seed)\n", 2),
        ("import transformers\ndef f(model, x, y):\n    return model(input_ids=x, lm_labels=y)[0]\n", 3),
        ("import pandas as pd\ndef f(a, b):\n    return a[a.x].append(b[b.x])\n", 3),
        ("import pandas as pd\ndef f(t, a, b):\n    t['date'] = a['date'].append(b['date'])\n", 3),
        ("import pandas as pd\na = pd.read_hdf('a')\nb['date'] = a['date'].append(c['date'])\n", 3),
        ("import pandas as pd\ndef f(t):\n    t['w'] = t['date'].dt.week.astype('int8')\n", 3),
    ],
)
def test_gone_from_the_newest_version(check, place, code, line):
    (finding,) = check("MLE0308", {"a.py": code})
    assert (place(finding), finding.severity) == (("a.py", line), "high")


def test_files_with_the_same_use_are_one_finding_unless_their_versions_differ(check):
    use = "import numpy as np\nx = np.float(1)\n"
    (finding,) = check("MLE0308", {"a.py": use, "b.py": use})
    assert [(e.path, e.line_start) for e in finding.evidence] == [("a.py", 2), ("b.py", 2)]
    versions = {"a/requirements.txt": "numpy>=1.19\n", "b/requirements.txt": "numpy==1.19.4\n"}
    apart = check("MLE0308", {"a/a.py": use, "b/b.py": use} | versions)
    assert sorted(f.severity.value for f in apart) == ["high", "low"]


@pytest.mark.parametrize(
    ("requirement", "severity"),
    [("numpy==1.19.4", "low"), ("numpy<1.24", "low"), ("numpy>=1.19", "high"), ("numpy==1.26.4", "high")],
)
def test_the_pin_decides(check, requirement, severity):
    files = {"a.py": "import numpy as np\nx = np.float(1)\n", "requirements.txt": requirement + "\n"}
    (finding,) = check("MLE0308", files)
    assert finding.severity == severity


def test_a_deprecated_name_is_low(check):
    (finding,) = check("MLE0308", {"a.py": "from torchvision import models\nm = models.vgg16(pretrained=True)\n"})
    assert finding.severity == "low"


def test_tensorflow_1_in_a_file_is_one_finding(check):
    code = "import tensorflow as tf\nx = tf.placeholder(1)\ny = tf.get_variable('y')\ns = tf.Session()\n"
    (finding,) = check("MLE0308", {"a.py": code})
    assert len(finding.evidence) == 3


@pytest.mark.parametrize(
    "code",
    [
        "import tensorflow.compat.v1 as tf\ns = tf.Session()\n",
        "import numpy as np\nx = np.float32(1)\ny = float(1)\n",
        "import pandas as pd\nrows = []\nrows.append(pd.read_csv('a'))\n",
        "import pandas as pd\nnames = pd.read_csv('a').columns.tolist()\nnames.append('x')\n",
        "try:\n    from sklearn.externals import joblib\nexcept ImportError:\n    import joblib\n",
        "from torchvision import models\nm = models.vgg16(pretrained=False)\n",
        "class np:\n    float = 1\nnp.float\n",
    ],
)
def test_what_only_looks_like_it(check, code):
    assert check("MLE0308", {"a.py": code}) == []


def test_a_name_in_a_long_import_is_reported_at_its_own_line(check, place):
    code = "from peft import (\n    LoraConfig,\n    prepare_model_for_int8_training,\n)\n"
    (finding,) = check("MLE0308", {"t.py": code})
    assert place(finding) == ("t.py", 3)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("state, reward, done, info = env.step(a)", 1),
        ("state, reward, terminated, truncated, info = env.step(a)", 0),
        ("outcome = env.step(a)", 0),
    ],
)
def test_the_four_values_of_an_old_environment(check, line, found):
    code = f"import gym\nenv = gym.make('CartPole-v1')\n{line}\n"
    assert len(check("MLE0308", {"t.py": code, "requirements.txt": "gym\n"})) == found
    assert not [f for f in check("MLE0308", {"t.py": code, "requirements.txt": "gym<0.26\n"}) if f.severity == "high"]


def test_keras_names_that_a_star_brings(check, place):
    code = "from keras.layers import *\nfrom keras.optimizers import *\nopt = Adam(lr=0.1)\n"
    (finding,) = check("MLE0308", {"t.py": code})
    assert place(finding) == ("t.py", 3)


BERT = """\
import transformers
class Net:
    def __init__(self):
        self.bert = transformers.BertModel.from_pretrained("bert-base-uncased")
    def forward(self, ids):
        {}
"""


def test_outputs_that_are_unpacked_like_a_tuple(check, place):
    code = BERT.format("hidden, pooled = self.bert(ids)")
    (finding,) = check("MLE0308", {"net.py": code})
    assert (place(finding), finding.severity.value) == (("net.py", 6), "high")
    (finding,) = check("MLE0308", {"net.py": code, "requirements.txt": "transformers==3.0.2\n"})
    assert finding.severity.value == "low"


@pytest.mark.parametrize("line", ["out = self.bert(ids)", "hidden, pooled = self.bert(ids, return_dict=False)"])
def test_outputs_that_are_taken_as_they_are(check, line):
    assert check("MLE0308", {"net.py": BERT.format(line)}) == []


@pytest.mark.parametrize(
    "line",
    [
        "KFold(n_splits=3, shuffle=True, random_state=0)",
        "KFold(3, True, random_state=0)",
        "KFold(n_splits=3, random_state=None)",
        "KFold(n_splits=3, **options, random_state=0)",
        "rows['loss'].append(value['loss'])",
        "dates.week",
        "grown = numpy.append(a, b)",
        "layers = torch.nn.Sequential().append(b)",
    ],
)
def test_what_still_works(check, line):
    assert (
        check("MLE0308", {"a.py": f"import pandas, numpy, torch\nfrom sklearn.model_selection import KFold\n{line}\n"})
        == []
    )


def test_what_the_previews_of_bentoml_had(check, place):
    code = "import bentoml\nbentoml.pytorch.save('m', model)\nr = bentoml.pytorch.load_runner('m')\n"
    (finding,) = check("MLE0308", {"t.py": code, "requirements.txt": "bentoml>=1.0.0a\n"})
    assert (place(finding), finding.severity.value) == (("t.py", 2), "high")
    kept = "import bentoml\nbentoml.pytorch.save_model('m', model)\nr = bentoml.pytorch.get('m').to_runner()\n"
    assert check("MLE0308", {"t.py": kept}) == []


def test_what_a_notebook_installs_itself_decides_there(check):
    def notebook(*cells):
        made = [{"cell_type": "code", "execution_count": None, "source": s, "outputs": []} for s in cells]
        return json.dumps({"cells": made, "nbformat": 4, "metadata": {}})

    code = "from transformers import TrainingArguments\nargs = TrainingArguments('out', evaluation_strategy='epoch')"
    pinned = '!pip install --upgrade \\\n  "transformers[torch]==4.37.2" \\\n  "peft==0.8.2"'
    newest = "!pip install -U transformers"
    files = {"n/old.ipynb": notebook(pinned, code), "n/new.ipynb": notebook(newest, code)}
    found = {f.evidence[0].path: f.severity for f in check("MLE0308", files)}
    assert found == {"n/old.ipynb": "low", "n/new.ipynb": "high"}


def test_a_script_beside_a_published_package_is_medium(check):
    project = (
        '[project]\nname = "enc"\ndependencies = ["numpy"]\nclassifiers = ["Programming Language :: Python :: 3"]\n'
    )
    code = "import numpy as np\nx = np.zeros(3, dtype=np.float)\n"
    files = {"pyproject.toml": project, "enc/__init__.py": code, "examples/a.py": code}
    found = check("MLE0308", files)
    assert {f.evidence[0].path: f.severity for f in found} == {"enc/__init__.py": "high", "examples/a.py": "medium"}
    assert {f.title for f in found} == {"numpy.float is gone since numpy 1.24: it may be installed"}


@pytest.mark.parametrize(("tag", "severity"), [("1.12.0-py3", "low"), ("2.16.1", "high"), ("latest", "high")])
def test_the_image_of_the_framework_says_its_version_where_nothing_else_does(check, tag, severity):
    docker = f"FROM tensorflow/tensorflow:{tag}\nRUN pip install -r requirements.txt\nCOPY . .\n"
    files = {"a.py": "import tensorflow as tf\ns = tf.Session()\n", "Dockerfile.gpu": docker}
    found = check("MLE0308", files | {"requirements.txt": "tqdm==4.31.1\n"})
    assert [f.severity for f in found] == [severity]


@pytest.mark.parametrize(("asked", "severity"), [("tensorflow[-gpu]==1.14", "low"), ("tensorflow==2.16.1", "high")])
def test_the_readme_says_the_version_where_nothing_else_does(check, asked, severity):
    files = {
        "a.py": "import tensorflow as tf\ns = tf.Session()\n",
        "README.md": f"Install it by `pip install {asked}`.\n",
    }
    assert [f.severity for f in check("MLE0308", files)] == [severity]


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("import torch\ndef show(loader):\n    batch = iter(loader)\n    return batch.next()\n", 4),
        ("import torch\ndef step(loss):\n    print(loss.data[0])\n", 3),
        (
            "from torch.autograd import Function\nclass D(Function):\n    def forward(self, x):\n        return x\n",
            2,
        ),
        ("from torchvision.utils import save_image\nsave_image(x, 'a.png', normalize=True, range=(-1, 1))\n", 2),
        ("import torch\ns = torch.optim.lr_scheduler.ReduceLROnPlateau(o, verbose=True)\n", 2),
        (
            "import pytorch_lightning as pl\nclass M(pl.LightningModule):\n    def test_epoch_end(self, o): ...\n",
            3,
        ),
        ("import pytorch_lightning as pl\nt = pl.Trainer(max_epochs=3, replace_sampler_ddp=False)\n", 2),
        ("from torchmetrics import Accuracy\na = Accuracy(num_classes=3)\n", 2),
        ("import librosa\ny, sr = librosa.load('a.wav', 22050)\n", 2),
        ("import librosa\nm = librosa.feature.mfcc(y, sr)\n", 2),
        ("from albumentations.augmentations import transforms\nt = transforms.RandomContrast()\n", 2),
        ("import yaml\nc = yaml.load(open('a.yaml'))\n", 2),
        ("import matplotlib.pyplot as plt\nplt.style.use('seaborn-whitegrid')\n", 2),
        ("import matplotlib.pyplot as plt\nax = plt.figure().gca(projection='3d')\n", 2),
    ],
)
def test_what_training_code_of_some_years_ago_uses(check, place, code, line):
    (finding,) = check("MLE0308", {"a.py": code})
    assert (place(finding), finding.severity) == (("a.py", line), "high")


@pytest.mark.parametrize(
    "code",
    [
        "import torch\ndef show(loader):\n    return next(iter(loader))\n",
        "import torch\nclass F(torch.autograd.Function):\n    @staticmethod\n    def forward(c, x): ...\n",
        "import torch\nfirst = batch.data[0]\n",
        "from torchmetrics import Accuracy\na = Accuracy('multiclass', num_classes=3)\nb = Accuracy(task=t)\n",
        "import librosa\ny, sr = librosa.load('a.wav', sr=22050)\n",
        "import yaml\nc = yaml.load(f, Loader=yaml.FullLoader)\nd = yaml.load(f, yaml.SafeLoader)\n",
        "import matplotlib.pyplot as plt\nplt.style.use('seaborn-v0_8-whitegrid')\n",
        "class Watch:\n    def test_epoch_end(self, outputs):\n        pass\n",
    ],
)
def test_training_code_that_is_up_to_date(check, code):
    assert check("MLE0308", {"a.py": code}) == []


def test_dash_3_has_no_run_server(check):
    code = "import dash\napp = dash.Dash(__name__)\napp.run_server(debug=False)\n"
    for version, severity in (("", "high"), ("==2.18", "low")):
        (finding,) = check("MLE0308", {"a.py": code, "requirements.txt": f"dash{version}\n"})
        assert finding.severity.value == severity


@pytest.mark.parametrize(
    "code",
    [
        "import sklearn\nif not SKLEARN_AT_LEAST_0_22:\n    from sklearn.utils.testing import x\n",
        "def week(dates):\n    import polars, pandas\n    return dates.dt.week()\n",
        "import pandas\nclass A:\n    def append(self):\n        self.a = self.a.append(1)",
    ],
)
def test_what_asks_for_the_version_and_what_is_of_another_class(check, code):
    assert check("MLE0308", {"requirements.txt": "pandas\nscikit-learn\n", "a.py": code}) == []


KERAS = "from keras.callbacks import ModelCheckpoint\nfrom keras.models import Sequential\n"


@pytest.mark.parametrize(
    ("code", "pins", "told"),
    [
        ("from keras.preprocessing.image import ImageDataGenerator\n", "keras", "ImageDataGenerator"),
        ("from keras import backend as K\nx = K.mean(y)\n", "keras", "functions of keras.backend"),
        (f"{KERAS}m.compile(metrics=['accuracy'])\nh = m.fit(x)\nplot(h.history['acc'])\n", "keras", "`acc`"),
        (f"{KERAS}p = 'w.{{epoch}}.hdf5'\nc = ModelCheckpoint(p)\n", "keras", ".hdf5"),
        (f"{KERAS}m = Sequential()\nm.save_weights('a/%d.h5' % 3)\n", "keras", ".weights.h5"),
        ("from langchain.vectorstores import FAISS\n", "langchain", "Langchain 0"),
        ("from transformers import TFBertModel\n", "transformers", "in TensorFlow"),
        ("import transformers\nself.tokenizer.encode_plus(text)\n", "transformers", "encode_plus"),
        ("from transformers import pipeline\np = pipeline('summarization')\n", "transformers", "a task"),
        ("from trl import SFTTrainer\nSFTTrainer(model=m, max_seq_length=8)\n", "trl", "SFTConfig"),
        ("import gym\ndef run(env):\n    s, r, done, info = env.step(1)\n", "gym", "four values"),
    ],
)
def test_what_keras_and_language_models_have_lost(check, code, pins, told):
    (finding,) = check("MLE0308", {"a.py": code, "requirements.txt": f"{pins}\n"})
    assert (finding.severity.value, told in finding.title) == ("high", True), finding.title


@pytest.mark.parametrize(
    "code",
    [
        "from tensorflow.keras.preprocessing.image import ImageDataGenerator\n",
        "from keras import backend as K\nK.clear_session()\n",
        f"{KERAS}m.compile(metrics=['acc'])\nh = m.fit(x)\nplot(h.history['acc'])\n",
        f"{KERAS}c = ModelCheckpoint('w.h5')\nm.save_weights(f'{{name}}.weights.h5')\n",
        "from langchain.agents import create_agent\n",
        "from transformers import pipeline\np = pipeline('text-classification')\n",
        (
            "import gym\nclass Env(gym.Env):\n    def step(self, a):\n        return 1\n"
            "def run(env):\n    s, r, done, info = env.step(1)\n"
        ),
    ],
)
def test_what_they_still_have(check, code):
    pins = "tensorflow\nkeras\nlangchain\ntransformers\ngym\n"
    assert check("MLE0308", {"a.py": code, "requirements.txt": pins}) == []


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("import lightgbm as lgb\nlgb.LGBMRegressor().fit(X, y, early_stopping_rounds=9)\n", "early_stopping_rounds="),
        ("from xgboost import XGBClassifier\nm = XGBClassifier()\nm.fit(X, y, eval_metric='auc')\n", "(XGBoost)"),
        ("import pandas as pd\nwide = f(pd).reindex_axis(days, axis=1)\n", "DataFrame.reindex_axis"),
        ("import pandas as pd\ndf = pd.read_csv('a.csv')\ndf = df.drop('id', 1)\n", "axis of drop"),
        ("import pandas as pd\ndf = pd.read_csv('a.csv')\nx = df.ix[3]\n", "indexer .ix"),
        ("from sklearn.ensemble import GradientBoostingRegressor as G\nG(loss='ls')\n", "loss= of"),
    ],
)
def test_what_libraries_for_tables_have_removed(check, code, shown):
    (finding,) = check("MLE0308", {"t.py": code})
    assert shown in finding.title and finding.severity.value == "high"


@pytest.mark.parametrize(
    "code",
    [
        "import gradio as gr\ngr.Interface(fn=f, inputs=gr.Image(shape=(224, 224)), outputs='label').launch()\n",
        "import gradio as gr\ngr.Interface(f, gr.Audio(source='microphone'), 'text').launch()\n",
        "import uvicorn\nuvicorn.run('main:app', debug=True)\n",
    ],
)
def test_what_servers_of_pages_have_removed(check, code):
    (finding,) = check("MLE0308", {"t.py": code})
    assert finding.severity.value == "high"
    assert (
        check(
            "MLE0308", {"t.py": code.replace("shape", "width").replace("source", "sources").replace("debug", "reload")}
        )
        == []
    )


def test_what_libraries_for_tables_still_have(check):
    code = "import pandas as pd, lightgbm as lgb\ndf = pd.read_csv('a.csv').drop('id', axis=1)\nnames.drop('id', x)\n"
    code += "lgb.LGBMRegressor().fit(df, y, callbacks=[lgb.early_stopping(9)])\nnp.ix_[3]\n"
    assert check("MLE0308", {"t.py": code}) == []


LIBRARY = "[project]\nname = 'lib'\nclassifiers = ['Programming Language :: Python']\n"


def test_what_one_library_has_removed_is_one_finding_and_each_place_says_what(check):
    files = {
        "a.py": "import numpy\nx = numpy.float_(1)\ny = numpy.float_(2)\n",
        "b.py": "import numpy\ny = numpy.NAN\n",
        "c.py": "import pandas as pd\ndf = pd.read_csv('a').ix[3]\n",
    }
    found = {f.title.partition(" ")[0]: f for f in check("MLE0308", files)}
    assert [(e.path, e.line_start) for e in found["numpy"].evidence] == [("a.py", 2), ("b.py", 2), ("a.py", 3)]
    assert [e.note for e in found["numpy"].evidence] == ["numpy.float_", "numpy.NAN", "numpy.float_"]
    assert "numpy.NAN since 2.0, numpy.float_ since 2.0" in found["numpy"].title
    assert len(found) == 2


def test_what_only_shows_a_package_does_not_lower_what_is_the_package(check):
    code = "import numpy\nx = numpy.float_(1)\ny = numpy.NAN\n"
    found = check("MLE0308", {"pyproject.toml": LIBRARY, "docs/a.py": code, "lib/a.py": code})
    assert sorted((f.severity.value, f.evidence[0].path) for f in found) == [
        ("high", "lib/a.py"),
        ("medium", "docs/a.py"),
    ]


def test_what_an_extra_alone_needs_is_medium(check):
    code = {"lib/a.py": "import numpy\nx = numpy.float_(1)\n"}
    extra = LIBRARY + "[project.optional-dependencies]\nfast = ['numpy']\n"
    (finding,) = check("MLE0308", {"pyproject.toml": extra, **code})
    assert finding.severity.value == "medium"


@pytest.mark.parametrize(("torch", "severity"), [("1.0.1", "low"), ("1.8.1", "high")])
def test_a_pinned_framework_holds_python_and_with_it_the_library(check, torch, severity):
    files = {"a.py": "import numpy as np\nx = np.bool(1)\n", "requirements.txt": f"torch=={torch}\n"}
    (finding,) = check("MLE0308", files)
    assert finding.severity == severity


def test_a_part_of_torch_that_is_there(check):
    code = "import torch\nfrom torch._six import inf\ntorch.library.define('a::b', '()')\n"
    (finding,) = check("MLE0308", {"requirements.txt": "torch\n", "a.py": code})
    assert [e.line_start for e in finding.evidence] == [2]


@pytest.mark.parametrize(
    ("files", "severity"),
    [
        ({}, "high"),
        ({"setup.py": "from setuptools import setup\nsetup(name='a', python_requires='>=3.6')\n"}, "high"),
        ({"Dockerfile": "FROM python:3.8-slim\n"}, "low"),
        ({"requirements.txt": "torch==1.4.0\n"}, "low"),
    ],
)
def test_what_python_itself_no_longer_has(check, files, severity):
    code = "import collections\nimport torch\nprint(isinstance(x, collections.Mapping))\n"
    (finding,) = check("MLE0308", {"a.py": code, **files})
    assert finding.severity.value == severity
    either = "try:\n    from collections.abc import Mapping\nexcept ImportError:\n    from collections import Mapping\n"
    guarded = f"import torch\n{either}"
    assert check("MLE0308", {"a.py": guarded, **files}) == []


def test_one_argument_of_several_objects_is_one_finding(check):
    fit = "import lightgbm\n{0} = lightgbm.LGBMClassifier()\n{0}.fit([[0]], [0], verbose=1)\n"
    files = {"requirements.txt": "lightgbm\n", "a.py": fit.format("one"), "b.py": fit.format("other")}
    (finding,) = check("MLE0308", files)
    assert [e.path for e in finding.evidence] == ["a.py", "b.py"]


def test_windows_of_a_table_in_a_list(check):
    code = "import pandas as pd\nx = pd.DataFrame()\nwindows = x{}\nwindows.append(1)\n"
    files = {"requirements.txt": "pandas>=2\n"}
    assert check("MLE0308", {**files, "a.py": code.format(".rolling(window=3)")}) == []
    assert len(check("MLE0308", {**files, "a.py": code.format("")})) == 1


def test_one_family_in_two_files_is_one_finding(check):
    files = {
        "train.py": "import tensorflow as tf\nsess = tf.Session()\n",
        "model.py": "import tensorflow as tf\nx = tf.placeholder(tf.float32)\n",
    }
    (finding,) = check("MLE0308", files)
    assert {e.path for e in finding.evidence} == {"train.py", "model.py"}
