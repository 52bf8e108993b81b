import pytest

TRAIN = "import pandas as pd\nfrom sklearn.svm import SVC\ndf = pd.read_csv('data/train.csv')\nSVC().fit(df, df)\n"


def test_training_data_that_nothing_versions(check, place):
    (finding,) = check("MLE1008", {"train.py": TRAIN})
    assert (place(finding), finding.severity) == (("train.py", 3), "medium")


@pytest.mark.parametrize(
    "extra",
    [
        {"data/train.csv": "a\n"},
        {"data/train.csv.dvc": "outs: []\n"},
        {".gitattributes": "*.csv filter=lfs diff=lfs\n"},
        {"train.py": TRAIN + "import hashlib\nhashlib.sha256(open('data/train.csv', 'rb').read())\n"},
        {"train.py": TRAIN.replace("data/train.csv", "https://example.org/train.csv")},
    ],
)
def test_tracked_referenced_or_checked_data(check, extra):
    assert check("MLE1008", {"train.py": TRAIN, **extra}) == []


@pytest.mark.parametrize(("option", "default"), [("--data", "data/castings"), ("--images", "./castings_3m")])
def test_the_default_of_an_option_is_a_path(check, place, option, default):
    code = (
        "import argparse, torch\nparser = argparse.ArgumentParser()\n"
        f"parser.add_argument('{option}', default='{default}')\nparser.add_argument('--lr', default='1e-3')\n"
        "loss = torch.nn.MSELoss()(torch.ones(1), torch.ones(1))\nloss.backward()\n"
    )
    (finding,) = check("MLE1008", {"train.py": code})
    assert place(finding) == ("train.py", 3)


def test_an_absolute_path_to_a_file_that_is_tracked(check):
    assert check("MLE1008", {"train.py": TRAIN.replace("data/", "/home/me/"), "data/train.csv": "a\n"}) == []


def test_a_table_that_a_program_of_the_repository_writes(check):
    make = "import pandas as pd\npd.DataFrame({'a': range(3)}).to_csv('data/train.csv')\n"
    assert check("MLE1008", {"train.py": TRAIN, "make.py": make}) == []


def test_a_method_of_what_was_read_reads_nothing(check, place):
    code = TRAIN.replace("SVC()", "df.fillna('data/other.csv')\nSVC()")
    (finding,) = check("MLE1008", {"train.py": code})
    assert "data/train.csv" in finding.title


GIVEN = """\
import pandas as pd
from sklearn.svm import SVC
from config import load
df = pd.read_csv(load()["data"]["train"])
SVC().fit(df, df)
"""
LFS = "filter=lfs diff=lfs merge=lfs -text\n"


@pytest.mark.parametrize(
    "extra",
    [{}, {".gitattributes": f"*.ckpt {LFS}"}, {"output/rows.csv": "a\n"}, {"generating_plots.py": "import numpy\n"}],
)
def test_data_that_a_configuration_names(check, place, extra):
    (finding,) = check("MLE1008", {"train.py": GIVEN, **extra})
    assert (place(finding), finding.severity) == (("train.py", 4), "medium")


@pytest.mark.parametrize(
    "extra",
    [
        {"data/rows.csv": "a\n"},
        {".gitattributes": f"*.csv {LFS}"},
        {".gitmodules": '[submodule "data"]\n'},
        {"generate_data.py": "import numpy as np\n"},
        {"make.py": "from sklearn.datasets import make_blobs\nmake_blobs()\n"},
    ],
)
def test_data_that_a_configuration_names_may_be_tracked_or_made_here(check, extra):
    assert check("MLE1008", {"train.py": GIVEN, **extra}) == []


def test_a_file_that_is_opened_by_its_name_is_known(check):
    code = (
        "import json\nwith open('lines.json') as f:\n    lines = json.load(f)\n"
        "for x in lines:\n    loss(x).backward()\n"
    )
    assert check("MLE1008", {"train.py": code, "lines.json": "[]"}) == []


def test_a_folder_that_a_data_set_puts_before_its_files(check, place):
    files = {
        "rows.py": "import pandas as pd\nclass Rows:\n    def __init__(self, root, task):\n"
        "        self.records = pd.read_csv(root + f'train-{task}.csv')\n"
        "    def __getitem__(self, i):\n        return self.records[i]\n",
        "train.py": "from rows import Rows\nfor x in Rows('./data/', 'acl'):\n    loss(x).backward()\n",
        "app/shown.csv": "a\n",
    }
    (finding,) = check("MLE1008", files)
    assert place(finding) == ("rows.py", 4) and "./data/" in finding.title
    assert check("MLE1008", {**files, "data/train-acl.csv": "a\n"}) == []


def test_the_raw_data_of_a_table_that_another_program_hands_over(check, place):
    features = (
        "import os\nimport pandas as pd\ndf = pd.read_csv(os.path.join('data', 'raw.csv'))\n"
        "df.to_hdf(os.path.join('data', 'features.h5'), key='x')\n"
    )
    code = TRAIN.replace("pd.read_csv('data/train.csv')", "pd.read_hdf('data/features.h5')")
    (finding,) = check("MLE1008", {"train.py": code, "features.py": features})
    assert place(finding) == ("features.py", 3)


def test_a_digest_that_names_a_file_is_no_version(check):
    code = TRAIN + "import hashlib\nname = hashlib.md5(str(df.shape).encode()).hexdigest()\n"
    assert len(check("MLE1008", {"train.py": code})) == 1


def test_a_folder_that_git_only_keeps_holds_no_data(check):
    code = "import glob\nfrom sklearn.svm import SVC\nfiles = glob.glob('inputs/images/*')\nSVC().fit(files, y)\n"
    files = {"t.py": code, "inputs/.gitkeep": "", "inputs/images/load.py": "x = 1\n"}
    assert len(check("MLE1008", files)) == 1
    assert check("MLE1008", {**files, "inputs/images/a.png": "x"}) == []


def test_raw_data_that_a_helper_of_the_step_before_reads(check, place):
    step = "import os\nfrom rows import load\nload('raw').to_csv(os.path.join('out', 'rows.csv'))\n"
    helper = (
        "import os\nimport pandas as pd\ndef load(folder):\n    return pd.read_csv(os.path.join(folder, 'rides.csv'))\n"
    )
    train = TRAIN.replace("data/train.csv", "out/rows.csv")
    (finding,) = check("MLE1008", {"train.py": train, "step.py": step, "rows.py": helper})
    assert place(finding) == ("rows.py", 4)


def test_an_option_for_the_folder_of_some_data_set(check, place):
    code = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--{}_dir', default='data/celeba/images')\n"
    code += "import torch\nloss.backward()\n"
    (finding,) = check("MLE1008", {"main.py": code.format("celeba_image")})
    assert place(finding) == ("main.py", 3)
    assert check("MLE1008", {"main.py": code.format("sample_image")}) == []


def test_weights_of_keras_are_no_data(check):
    code = TRAIN.replace(
        "df = pd.read_csv('data/train.csv')", "import glob\nbest = glob.glob(checkpoint_dir + '/*.h5')"
    )
    assert check("MLE1008", {"train.py": code.replace("fit(df, df)", "fit(x, y)")}) == []


def test_a_table_of_one_machine_and_lists_of_classes_that_are_tracked(check):
    data = "import pandas as pd\nclass Rows:\n    def __init__(self, path):\n        self.t = pd.read_csv(path)\n"
    code = "from data import Rows\nimport torch\nrows = Rows('/home/a/sounds/rows.csv')\nloss.backward()\n"
    files = {"data.py": data, "train.py": code, "metadata/class_labels.csv": "a\n"}
    assert len(check("MLE1008", files)) == 1


def test_a_table_that_a_program_writes_under_a_name_put_together(check):
    prepare = "import os\nfor n, t in d:\n    path = os.path.join('data', f'{n}_df.pkl')\n    t.to_pickle(path)\n"
    train = "import pandas as pd\nfrom sklearn.svm import SVC\n"
    train += "df = pd.read_pickle('data/train_df.pkl')\nSVC().fit(df, df.y)\n"
    assert check("MLE1008", {"prepare.py": prepare, "train.py": train}) == []
    assert len(check("MLE1008", {"prepare.py": prepare.replace("_df", "_rows"), "train.py": train})) == 1


def test_a_folder_for_a_published_data_set_and_a_search_for_checkpoints(check):
    code = (
        "import argparse\nimport glob\nimport torch\nfrom torchvision import datasets\np = argparse.ArgumentParser()\n"
    )
    code += "p.add_argument('-data', default='./datasets')\nrows = datasets.CIFAR10(p.parse_args().data, download={})\n"
    code += "loss.backward()\nold = glob.glob('*.pkl')\n"
    assert check("MLE1008", {"t.py": code.format(True)}) == []
    assert len(check("MLE1008", {"t.py": code.format(False)})) == 1


def test_a_flag_that_names_the_folder_of_the_data(check, place):
    code = (
        "import tensorflow as tf\nfrom sklearn.svm import SVC\n"
        "tf.flags.DEFINE_string('input_dir', './data', 'where the rows are')\nSVC().fit(read(), y)\n"
    )
    (finding,) = check("MLE1008", {"train.py": code})
    assert place(finding) == ("train.py", 3)


def test_a_folder_of_pictures_that_is_given_by_name(check, place):
    code = """\
    import torch
    from torchvision.datasets import ImageFolder
    rows = ImageFolder(root="data/train", transform=t)
    for x, y in rows:
        loss(net(x), y).backward()
    """
    (finding,) = check("MLE1008", {"t.py": code})
    assert place(finding) == ("t.py", 3)


def test_files_of_a_release_have_a_version(check):
    code = """\
    import os, h5py
    from sklearn.svm import SVC
    URL = "https://github.com/a/data/releases/{kind}/v1.0/rows.hdf5"
    name = os.path.join(CACHE, "rows.hdf5")
    download(URL, name)
    with h5py.File(name) as f:
        SVC().fit(f["X"][:], f["y"][:])
    """
    assert check("MLE1008", {"t.py": code.format(kind="download")}) == []
    assert len(check("MLE1008", {"t.py": code.format(kind="tag")})) == 1


def test_an_option_for_the_folder_goes_before_a_file_in_it(check):
    train = """
        import argparse
        import numpy as np
        from rows import Rows
        from sklearn.svm import SVC
        p = argparse.ArgumentParser()
        p.add_argument("--data", default="data/castings")
        rows = Rows(p.parse_args().data)
        SVC().fit(rows.labels, rows.labels)
        """
    rows = "import os\nimport numpy as np\nclass Rows:\n    def __init__(self, root):\n"
    rows += "        self.labels = np.load(os.path.join(root, 'labels.npy'))\n"
    (finding,) = check("MLE1008", {"train.py": train, "rows.py": rows})
    assert finding.title == "Training data has no version (data/castings)"
