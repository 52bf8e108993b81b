import pytest


@pytest.mark.parametrize(
    "text",
    [
        "import pandas as pd\nx = 1\ndf = pd.read_csv('/home/anna/data.csv')\n",
        "import pandas as pd\nDATA = '/Users/anna/d.csv'\ndf = pd.read_csv(DATA)\n".replace("DATA =", "\nDATA =", 1),
        "def load(path='C:\\\\data\\\\x.csv'):\n    pass\n    return open(path)\n".replace("def", "\n\ndef", 1),
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--w', default='/mnt/team/w.pt')\n",
        "import os\n\np = os.path.join('/content/drive', 'x')\n",
        "import os\n\np = os.path.join('/media/anna/disk/pictures', 'x')\n",
    ],
)
def test_a_personal_path_that_reaches_a_call(check, place, text):
    (finding,) = check("MLE0305", {"a.py": text})
    assert finding.severity.value == "medium"
    assert place(finding) == ("a.py", 3)


def test_a_constant_that_another_module_gives_to_a_call(check, place):
    files = {"config.py": "PATH = '/root/data/x.csv'\n", "train.py": "import config\nf = open(config.PATH)\n"}
    (finding,) = check("MLE0305", files)
    assert place(finding) == ("config.py", 1)


@pytest.mark.parametrize(
    "text",
    [
        "EXAMPLE = '/home/anna/data.csv'\n",
        "print('/home/anna/data.csv')\n",
        '"""Reads /home/anna/data.csv."""\n',
        "import os\np = os.environ.get('DATA', '/mnt/data/x')\n",
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--w', help='/home/you/w.pt')\n",
        "@app.route('/home/page')\ndef home():\n    pass\n",
        "f = open('data/x.csv')\n",
        "f = fetch('/media/pictures/x.png')\n",
        "if x == '/home/anna/y':\n    pass\n",
    ],
)
def test_texts_that_name_no_file_to_a_call_are_silent(check, text):
    assert check("MLE0305", {"a.py": text}) == []


def test_a_path_of_the_projects_own_container_is_silent(check):
    files = {"Dockerfile": "FROM python:3.12\nVOLUME /mnt/models\n", "a.py": "f = open('/mnt/models/m.pkl')\n"}
    assert check("MLE0305", files) == []


def test_a_root_that_further_settings_are_made_of(check, place):
    config = "ROOT = '/run/media/anna/disk'\nDATA = ROOT + '/data'\nTRAIN = DATA + '/train.csv'\n"
    files = {"config.py": config, "train.py": "import config\nf = open(config.TRAIN)\n"}
    (finding,) = check("MLE0305", files)
    assert place(finding) == ("config.py", 1)
    assert check("MLE0305", {**files, "train.py": "import config\nprint(config.TRAIN)\n"}) == []


def test_a_folder_of_kaggle_is_there_in_its_kernels_only(check, place):
    text = "import os\nDATA = '/kaggle/input/sales'\ndef load(folder: str = DATA):\n    return os.listdir(folder)\n"
    (finding,) = check("MLE0305", {"src/load.py": text})
    assert place(finding) == ("src/load.py", 2)
    assert check("MLE0305", {"src/load.py": text, "src/kernel-metadata.json": "{}"}) == []
