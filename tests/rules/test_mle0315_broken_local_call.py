import pytest

FIT = "from sklearn.svm import SVC\nSVC().fit([[0], [1]], [0, 1])\n"


@pytest.mark.parametrize(
    ("use", "helper", "words"),
    [
        ("from helper import gone\n", "x = 1\n", "`gone` is not defined"),
        ("from helper import f\nf(1, 2)\n", "def f(a):\n    return a\n", "takes 1 positional"),
        ("from helper import f\nf()\n", "def f(a):\n    return a\n", "needs `a`"),
        ("from helper import f\nf(b=1)\n", "def f(a):\n    return a\n", "no parameter `b`"),
        (
            "from helper import E\nraise E('x')\n",
            "class E(Exception):\n    def __init__(self, a, b):\n        pass\n",
            "needs `b`",
        ),
    ],
)
def test_what_cannot_work_on_the_way_of_training_is_high(check, place, use, helper, words):
    (finding,) = check("MLE0315", {"train.py": FIT + use, "helper.py": helper})
    assert finding.severity.value == "high"
    assert words in finding.title
    assert place(finding)[0] == "train.py"


def test_a_relative_import_of_a_module_that_does_not_exist(check):
    (finding,) = check("MLE0315", {"pkg/__init__.py": "", "pkg/train.py": FIT + "from .gone import x\n"})
    assert "no module" in finding.title


def test_elsewhere_it_is_low(check):
    (finding,) = check(
        "MLE0315",
        {"a.py": "from helper import gone\nif __name__ == '__main__':\n    print(gone)\n", "helper.py": "x = 1\n"},
    )
    assert finding.severity.value == "low"


@pytest.mark.parametrize(
    ("use", "helper"),
    [
        ("try:\n    from helper import gone\nexcept ImportError:\n    gone = None\n", "x = 1\n"),
        ("from helper import anything\n", "def __getattr__(name):\n    return 1\n"),
        ("from helper import anything\n", "from numpy import *\n"),
        ("from helper import f\nf(1, 2)\n", "import functools\n@functools.cache\ndef f(a):\n    return a\n"),
        ("from helper import f\nf(1, 2)\n", "def f(*a, **k):\n    return a\n"),
        ("from helper import f\nf(*args)\nf(**options)\n", "def f(a, b):\n    return a\n"),
        (
            "from helper import f\nf(1, 2)\n",
            "if x:\n    def f(a):\n        pass\nelse:\n    def f(a, b):\n        pass\n",
        ),
        (
            "from helper import C\nC(1, 2)\n",
            "from dataclasses import dataclass\n@dataclass\nclass C:\n    a: int\n    b: int\n",
        ),
        ("from helper import C\nC().m(1)\n", "class C:\n    def m(self, a):\n        pass\n"),
        ("from helper import f\nf(1)\n", "def f(a, b=2, *, c=3):\n    return a\n"),
        ("from json import nothing_local\n", "x = 1\n"),
    ],
)
def test_what_may_work_is_silent(check, use, helper):
    assert check("MLE0315", {"train.py": FIT + use, "helper.py": helper}) == []


def test_a_member_of_a_package_does_not_hide_the_installed_one(check):
    files = {
        "pkg/__init__.py": "",
        "pkg/pydantic.py": "x = 1\n",
        "pkg/train.py": FIT + "from pydantic import BaseModel\n",
    }
    assert check("MLE0315", files) == []


def test_generated_modules_and_submodules_are_left_alone(check):
    files = {
        "pkg/__init__.py": "",
        "pkg/sub.py": "",
        "pkg/a.py": "from . import sub\nfrom .x_pb2 import M\nfrom pkg import sub\n",
    }
    assert check("MLE0315", files) == []


def test_a_script_that_leads_to_the_training_is_high(check, place):
    train = "from sklearn.svm import SVC\ndef train(month):\n    return SVC().fit([[0], [1]], [0, 1])\n"
    script = "from train import train\ndef main():\n    train(day=1)\nif __name__ == '__main__':\n    main()\n"
    (finding,) = check("MLE0315", {"train.py": train, "retrain.py": script})
    assert finding.severity.value == "high"
    assert place(finding) == ("retrain.py", 3)


def test_a_submodule_that_a_package_of_the_repository_lacks(check, place):
    files = {
        "services/__init__.py": "",
        "services/other.py": "",
        "train.py": FIT + "from services.gone import Pipeline\n",
    }
    (finding,) = check("MLE0315", files)
    assert (place(finding), finding.severity.value) == (("train.py", 3), "high")
    assert "services.gone" in finding.title


@pytest.mark.parametrize(
    "extra",
    [{".gitignore": "services/gone.py\n"}, {"requirements.txt": "services\n"}, {"services/gone/x.py": ""}],
)
def test_a_submodule_that_may_come_from_elsewhere(check, extra):
    files = {"services/__init__.py": "", "train.py": FIT + "from services.gone import Pipeline\n"}
    assert check("MLE0315", files | extra) == []


def test_a_file_named_like_a_declared_package_does_not_stand_for_it(check):
    files = {
        "requirements.txt": "celery\n",
        "jobs/celery.py": "x = 1\n",
        "jobs/train.py": FIT + "from celery import states\n",
    }
    assert check("MLE0315", files) == []


def test_a_missing_module_is_one_finding_for_all_who_import_it(check):
    use = FIT + "from services.gone import Pipeline\n"
    (finding,) = check("MLE0315", {"services/__init__.py": "", "train.py": use, "train_more.py": use})
    assert [e.path for e in finding.evidence] == ["train.py", "train_more.py"]


def test_a_class_that_is_imported_from_where_it_no_longer_is(check, place):
    files = {
        "requirements.txt": "scikit-learn\n",
        "models/nets.py": "class Net:\n    pass\n",
        "train.py": FIT + "from models.nets import Net\n",
        "predict.py": "from model import Net\nif __name__ == '__main__':\n    print(Net())\n",
    }
    (finding,) = check("MLE0315", files)
    assert (place(finding), finding.severity.value) == (("predict.py", 1), "high")
    assert "models/nets.py" in finding.title
    assert check("MLE1005", files) == []


@pytest.mark.parametrize(
    "extra",
    [
        {"requirements.txt": "model\n"},
        {".gitignore": "model.py\n"},
        {"models/more.py": "class Net:\n    pass\n"},
        {"lib/model.py": "x = 1\n"},
        {"models/nets.py": "def Net():\n    pass\n"},
    ],
)
def test_a_class_that_another_module_may_bring(check, extra):
    files = {"models/nets.py": "class Net:\n    pass\n", "train.py": FIT + "from model import Net\n"}
    assert check("MLE0315", files | extra) == []


def test_a_call_that_asks_which_arguments_are_taken(check):
    use = "from helper import f\ntry:\n    f(b=1)\nexcept TypeError:\n    f(1)\n"
    assert check("MLE0315", {"train.py": FIT + use, "helper.py": "def f(a):\n    return a\n"}) == []
    (finding,) = check("MLE0315", {"train.py": FIT + use.replace("TypeError", "ValueError")})
    assert "no parameter `b`" in finding.title


def test_files_that_were_moved_together_are_one_finding(check):
    files = {
        "old/nets.py": "class Net:\n    pass\n",
        "old/loops.py": "class Loop:\n    pass\n",
        "train.py": FIT + "from models.nets import Net\nfrom models.loops import Loop\n",
    }
    (finding,) = check("MLE0315", files)
    assert [e.line_start for e in finding.evidence] == [3, 4]


def test_a_class_of_an_installed_module_may_have_a_namesake(check):
    files = {
        "shapes/__init__.py": "",
        "shapes/Logistic.py": "from pyro.distributions import Logistic as L\nclass Logistic(L):\n    pass\n",
        "train.py": FIT + "from other.distributions import Logistic\nfrom shapes.Logistic import Logistic as M\n",
    }
    assert check("MLE0315", files) == []


def test_a_class_of_a_known_package_is_not_looked_for_here(check):
    files = {
        "zoo/inception_v3.py": "class InceptionV3:\n    pass\n",
        "train.py": "from keras.applications.inception_v3 import InceptionV3\nInceptionV3().fit([1], [0])\n",
    }
    assert check("MLE0315", files) == []


def test_names_that_a_star_import_cannot_change(check):
    files = {"helper.py": "def f(a):\n    return a\n", "names.py": "KEY = 1\n", "train.py": FIT}
    files["train.py"] += "from sklearn.svm import *\nfrom helper import f\nfrom names import *\nf(b=1)\n"
    assert len(check("MLE0315", files)) == 1
    assert check("MLE0315", {"names.py": "def f(b):\n    return b\n"}) == []
    later = FIT + "from helper import f\nfrom sklearn.svm import *\nf(b=1)\n"
    assert check("MLE0315", {"train.py": later}) == []
