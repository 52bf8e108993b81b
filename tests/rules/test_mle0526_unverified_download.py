URL = "https://example.org/files/net.pt"


def test_a_downloaded_file_that_torch_loads(check, place):
    text = f"import torch, urllib.request\nurllib.request.urlretrieve('{URL}', 'net.pt')\nm = torch.load('net.pt')\n"
    (finding,) = check("MLE0526", {"a.py": text})
    assert (finding.severity.value, place(finding)) == ("high", ("a.py", 2))
    assert finding.evidence[1].line_start == 3


def test_gdown_in_one_module_and_the_load_in_another(check, place):
    files = {
        "get.py": "import gdown\ngdown.download(id='x', output='weights/m.pkl')\n",
        "app.py": "import pickle\nm = pickle.load(open('weights/m.pkl', 'rb'))\n",
    }
    (finding,) = check("MLE0526", files)
    assert place(finding) == ("get.py", 2)


def test_a_shell_script_that_fetches(check, place):
    files = {
        "setup.sh": f"#!/bin/sh\nset -e\nwget {URL} -O weights/net.pt\n",
        "app.py": "import torch\nm = torch.load('weights/net.pt', weights_only=True)\n",
    }
    (finding,) = check("MLE0526", files)
    assert (finding.severity.value, place(finding)) == ("medium", ("setup.sh", 3))


def test_a_hash_is_a_check_and_data_is_no_model(check):
    checked = f"import hashlib, torch, urllib.request\nurllib.request.urlretrieve('{URL}', 'net.pt')\n"
    checked += "assert hashlib.sha256(open('net.pt', 'rb').read()).hexdigest() == H\nm = torch.load('net.pt')\n"
    assert check("MLE0526", {"a.py": checked}) == []
    data = "import requests, torch\nr = requests.get('https://example.org/rows.csv')\nm = torch.load('net.pt')\n"
    assert check("MLE0526", {"a.py": data}) == []


NOTEBOOK = """
{{"cells": [{{"cell_type": "code", "metadata": {{}}, "outputs": [], "execution_count": 1, "source": ["!wget {url}"]}},
{{"cell_type": "code", "metadata": {{}}, "outputs": [], "execution_count": 2,
"source": ["import torch\\n", "m = torch.load('net.pt')"]}}], "metadata": {{}}, "nbformat": 4, "nbformat_minor": 4}}
"""


def test_a_shell_line_of_a_notebook_that_fetches(check, place):
    (finding,) = check("MLE0526", {"n.ipynb": NOTEBOOK.format(url=URL)})
    assert (finding.evidence[0].cell, finding.evidence[1].cell) == (0, 1)
    assert check("MLE0526", {"n.ipynb": NOTEBOOK.format(url="https://example.org/other.pt")}) == []


def test_what_a_notebook_fetches_is_not_missing(check):
    assert check("MLE0115", {"n.ipynb": NOTEBOOK.format(url=URL)}) == []
    assert len(check("MLE0115", {"n.ipynb": NOTEBOOK.format(url="https://example.org/other.pt")})) == 1


def test_weights_by_an_address_from_a_table(check, place):
    table = 'BASE = "https://{host}/"\nURLS = {{"small": BASE + "v1/net.ckpt"}}\n'
    fetch = "    return torch.hub.load_state_dict_from_url(url)\n"
    code = "import torch\n{table}def load(kind):\n    url = URLS[kind]\n" + fetch
    use = "model.load_state_dict(load('small'))\n"
    (finding,) = check("MLE0526", {"a.py": code.format(table=table.format(host="example.org/x")) + use})
    assert (finding.severity.value, place(finding)) == ("high", ("a.py", 6))
    assert check("MLE0526", {"a.py": code.format(table=table.format(host="download.pytorch.org/models")) + use}) == []


def test_weights_of_many_networks_are_one_finding(check):
    fetch = "import torch\nnet.load_state_dict(torch.utils.model_zoo.load_url('https://example.org/{}.pth'))\n"
    (finding,) = check("MLE0526", {"a.py": fetch.format("a") * 2, "b.py": fetch.format("b")})
    assert [(e.path, e.line_start) for e in finding.evidence] == [("a.py", 2), ("a.py", 4), ("b.py", 2)]


def test_the_older_place_of_keras_for_its_download(check, place):
    code = (
        "from keras.utils.data_utils import get_file\npath = get_file('vgg.h5', 'https://example.org/vgg.h5')\n"
        "model.load_weights(path)\n"
    )
    (finding,) = check("MLE0526", {"a.py": code})
    assert (finding.severity.value, place(finding)) == ("medium", ("a.py", 2))


def test_weights_by_an_address_in_a_variable_of_a_script(check, place):
    script = "URL=https://open.org/celeba-128.zip\nZIP=./run/models/celeba-128.zip\nwget $URL -O $ZIP\n"
    files = {"download.sh": script, "solver.py": "import torch\ndef load(path):\n    return torch.load(path)\n"}
    (finding,) = check("MLE0526", files)
    assert (place(finding), finding.severity) == (("download.sh", 3), "medium")
    assert check("MLE0526", {**files, "download.sh": script.replace("models", "data")}) == []


def test_weights_that_an_image_fetches_into_the_folder_that_is_loaded(check):
    app = "from transformers import AutoModel\nm = AutoModel.from_pretrained('model/')\n"
    docker = "FROM python:3.12\nRUN curl -L https://x.org/resolve/main/pytorch_model.bin -o ./model/pytorch_model.bin\n"
    (finding,) = check("MLE0526", {"app.py": app, "Dockerfile": docker})
    assert [(e.path, e.line_start) for e in finding.evidence] == [("Dockerfile", 2), ("app.py", 2)]
    assert check("MLE0526", {"app.py": app, "Dockerfile": docker.replace("./model/", "./other/")}) == []


def test_an_address_from_a_table_of_models(check, place):
    code = (
        "from collections import namedtuple\nfrom torch.utils import model_zoo\nmodel = namedtuple('model', ['url'])\n"
    )
    code += "models = {{'unet': model(url='https://{}/weights.zip')}}\ndef make(name):\n"
    code += "    net.load_state_dict(model_zoo.load_url(models[name].url))\n"
    (finding,) = check("MLE0526", {"nets.py": code.format("open.org")})
    assert place(finding) == ("nets.py", 6)
    assert check("MLE0526", {"nets.py": code.format("download.pytorch.org")}) == []
