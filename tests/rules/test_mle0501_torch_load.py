import pytest

LOAD = "import torch\nmodel = torch.load('m.pt')\n"


def test_explicit_unpickling_is_reported_whatever_is_declared(check, place):
    code = "import torch\nmodel = torch.load('m.pt', weights_only=False)\n"
    (finding,) = check("MLE0501", {"app.py": code, "requirements.txt": "torch==2.7\n"})
    assert (place(finding), finding.severity) == (("app.py", 2), "high")


@pytest.mark.parametrize(
    ("requirement", "severity"),
    [
        ("torch == 1.8.0", "high"),
        ("torch>=2.0", "high"),
        ("torch<2.6", "high"),
        ("torch", "medium"),
        ("numpy", "medium"),
        ("torch==2.9.1", None),
        ("torch>=2.6", None),
    ],
)
def test_the_default_depends_on_the_declared_torch(check, requirement, severity):
    found = check("MLE0501", {"app.py": LOAD, "requirements.txt": requirement + "\n"})
    assert [f.severity.value for f in found] == ([severity] if severity else [])


def test_the_environment_beside_the_file_counts(check):
    files = {"serve/app.py": LOAD, "serve/requirements.txt": "torch==2.7\n", "requirements.txt": "torch==1.8\n"}
    assert check("MLE0501", files) == []


def test_one_finding_for_a_file(check):
    (finding,) = check("MLE0501", {"app.py": LOAD + "other = torch.load('n.pt')\n"})
    assert len(finding.evidence) == 2


def test_the_bound_of_torch_is_one_cause_and_each_wish_to_unpickle_its_own(check):
    files = {"a.py": LOAD, "b.py": LOAD, "requirements.txt": "torch>=2.0\n"}
    (finding,) = check("MLE0501", files)
    assert [(e.path, e.line_start) for e in finding.evidence] == [("a.py", 2), ("b.py", 2)]
    wish = LOAD.replace("'m.pt'", "'m.pt', weights_only=False")
    assert len(check("MLE0501", files | {"a.py": wish, "b.py": wish})) == 2


@pytest.mark.parametrize(
    "code",
    [
        "import torch\ntorch.load('m.pt', weights_only=True)\n",
        "import torch\ntorch.load('m.pt', **options)\n",
        "import torch\ntorch.load('m.pt', weights_only=safe)\n",
        "from mylib import torch_like as torch\ntorch.load('m.pt')\n",
    ],
)
def test_what_is_safe_or_unknown_is_left_out(check, code):
    assert check("MLE0501", {"app.py": code}) == []


@pytest.mark.parametrize(("bound", "severity"), [("torch>=1.12", "medium"), ("torch>=1.12,<2.5", "high")])
def test_a_published_package_may_admit_old_versions(check, bound, severity):
    project = f"[project]\nname = 'x'\nclassifiers = ['Programming Language :: Python']\ndependencies = ['{bound}']\n"
    (finding,) = check("MLE0501", {"pyproject.toml": project, "x/a.py": "import torch\ntorch.load('m.pt')\n"})
    assert finding.severity.value == severity


def test_a_file_that_the_same_function_wrote(check):
    code = "import torch\ndef fit(m):\n    torch.save(m, 'best.pth')\n    return torch.load('{}', weights_only=False)\n"
    assert check("MLE0501", {"t.py": code.format("best.pth")}) == []
    assert len(check("MLE0501", {"t.py": code.format("other.pth")})) == 1
