import pytest

HEAD = "from sklearn.model_selection import train_test_split, KFold\n"


def test_a_split_without_a_seed(check, place):
    (finding,) = check("MLE0401", {"t.py": HEAD + "a, b = train_test_split(X)\n"})
    assert place(finding) == ("t.py", 2)
    assert finding.severity == "medium"


def test_a_dataset_of_hugging_face_needs_a_seed_too(check, place):
    code = "from datasets import load_dataset\nd = load_dataset('x')['train']\np = d.train_test_split(test_size=0.1)\n"
    (finding,) = check("MLE0401", {"t.py": code})
    assert place(finding) == ("t.py", 3)


def test_a_random_split_of_torch_belongs_to_the_seed_of_torch(check):
    assert (
        check("MLE0401", {"t.py": "from torch.utils.data import random_split\na, b = random_split(d, [8, 2])\n"}) == []
    )


def test_a_global_seed_makes_it_low(check):
    code = "import numpy as np\nnp.random.seed(1)\n" + HEAD + "a, b = train_test_split(X)\n"
    (finding,) = check("MLE0401", {"t.py": code})
    assert finding.severity == "low"


@pytest.mark.parametrize(
    "code",
    [
        HEAD + "a, b = train_test_split(X, random_state=7)\n",
        HEAD + "a, b = train_test_split(X, random_state=args.seed)\n",
        HEAD + "a, b = train_test_split(X, shuffle=False)\n",
        HEAD + "folds = KFold(5)\n",
        HEAD + "a, b = train_test_split(X, **options)\n",
        "p = data['train'].train_test_split(test_size=100, shuffle=True, seed=42)\n",
    ],
)
def test_seeded_or_ordered_splits_are_right(check, code):
    assert check("MLE0401", {"t.py": code}) == []
