import pytest

HEAD = "from transformers import AutoModel, pipeline\nfrom datasets import load_dataset\n"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_one_finding_for_each_remote_name_with_all_its_sites(check, place):
    files = {
        "config.py": "NAME = 'bert-base-uncased'\n",
        "a.py": HEAD + "import config\nm = AutoModel.from_pretrained(config.NAME)\nd = load_dataset('glue', 'cola')\n",
        "b.py": HEAD + "from config import NAME\nm = AutoModel.from_pretrained(NAME)\n",
    }
    findings = check("MLE0504", files)
    assert [(place(f), len(f.evidence)) for f in findings] == [(("a.py", 4), 2), (("a.py", 5), 1)]
    assert findings[0].title.startswith("bert-base-uncased ")


def test_a_moving_branch_is_no_pin(check):
    (finding,) = check("MLE0504", {"a.py": HEAD + "m = AutoModel.from_pretrained('a/b', revision='main')\n"})
    assert finding.severity.value == "medium"


def test_what_is_pinned_local_or_unknown_is_silent(check):
    text = HEAD + (
        f"a = AutoModel.from_pretrained('a/b', revision='{COMMIT}')\n"
        "b = AutoModel.from_pretrained('./out')\n"
        "c = AutoModel.from_pretrained(path)\n"
        "d = AutoModel.from_pretrained('a/b', revision=settings.revision)\n"
        "e = AutoModel.from_pretrained('weights/bert')\n"
        "f = load_dataset('csv', data_files='x.csv')\n"
        "g = AutoModel.from_pretrained('a/b', **options)\n"
        "h = AutoModel.from_pretrained('checkpoint')\n"
    )
    assert check("MLE0504", {"a.py": text, "checkpoint/config.json": "{}"}) == []


def test_a_method_of_that_name_elsewhere_is_not_the_hub(check):
    text = "from mylib import Net\nm = Net.from_pretrained('small')\n"
    assert check("MLE0504", {"a.py": text}) == []


def test_the_default_of_a_parameter_is_what_is_fetched(check, place):
    code = (
        "from datasets import load_dataset\ndef train(data: str = 'yahma/alpaca', other: str = '', *, third='x/y'):\n"
        "    load_dataset(data)\n    load_dataset(other)\n    load_dataset(third)\n"
    )
    found = check("MLE0504", {"t.py": code})
    assert sorted(place(f) for f in found) == [("t.py", 3), ("t.py", 5)]


def test_the_default_of_an_environment_variable_is_what_is_fetched(check):
    code = HEAD + "import os\ndef load():\n    name = os.environ.get('MODEL', 'org/name')\n"
    (finding,) = check("MLE0504", {"a.py": code + "    return AutoModel.from_pretrained(name)\n"})
    assert finding.title.startswith("org/name ")
    assert check("MLE0504", {"a.py": code.replace(", 'org/name'", "") + "    AutoModel.from_pretrained(name)\n"}) == []


def test_the_hubs_own_program(check, place):
    text = "FROM python:3.12\nRUN huggingface-cli download deepset/tinyroberta-squad2{pin} --local-dir /model\n"
    (finding,) = check("MLE0504", {"Dockerfile": text.format(pin="")})
    assert place(finding) == ("Dockerfile", 2)
    assert finding.title.startswith("deepset/tinyroberta-squad2 ")
    assert check("MLE0504", {"Dockerfile": text.format(pin=f" --revision {COMMIT}")}) == []


def test_a_name_that_is_handed_in(check, place):
    text = """
        from transformers import AutoModel
        NAME = "org/model"
        class Embedder:
            def __init__(self, name):
                self.model = AutoModel.from_pretrained(name)
        embedder = Embedder(NAME)
        """
    (finding,) = check("MLE0504", {"a.py": text})
    assert (place(finding), "org/model" in finding.title) == (("a.py", 6), True)
    assert check("MLE0504", {"a.py": text.replace("Embedder(NAME)", "Embedder(input())")}) == []


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (
            "p = argparse.ArgumentParser()\np.add_argument('--model-name', default='openai-gpt')\nargs = p()\n",
            1,
        ),
        ("@dataclass\nclass Args:\n    model_name: str = field(default='facebook/opt-125m')\nargs = read(Args)\n", 1),
        ("@dataclass\nclass Args:\n    model_name: str = field(default='output')\nargs = read(Args)\n", 0),
        ("@dataclass\nclass Args:\n    model_name: str = 'model_path/chatglm'\nargs = read(Args)\n", 0),
    ],
)
def test_the_default_of_an_option_and_a_class_that_is_chosen(check, option, expected):
    head = "import argparse\nfrom dataclasses import dataclass, field\nfrom transformers import BertModel, GPT2Model\n"
    use = "kind = GPT2Model if 'gpt' in args.model_name else BertModel\nm = kind.from_pretrained(args.model_name)\n"
    assert len(check("MLE0504", {"a.py": head + option + use})) == expected


def test_the_default_of_a_constructor_that_keeps_it(check, place):
    text = (
        "from transformers import BertModel\nclass Sentiment:\n    def __init__(self, name='NAME'):\n"
        "        self.name = name\n        self.model = BertModel.from_pretrained(self.name)\n"
    )
    (finding,) = check("MLE0504", {"a.py": text.replace("NAME", "distilbert-base-uncased-finetuned-sst-2-english")})
    assert place(finding) == ("a.py", 5)
    assert check("MLE0504", {"a.py": text.replace("NAME", "saved_model")}) == []
