TRAIN = "import joblib\nfrom sklearn.svm import SVC\nclf = SVC()\nclf.fit(X, y)\njoblib.dump(clf, 'm.joblib')\n"


def test_a_saved_model_that_nobody_describes(check, place):
    (finding,) = check("MLE0111", {"t.py": TRAIN, "README.md": "# A model\nRun t.py.\n"})
    assert place(finding) == ("t.py", 5)
    assert "metrics" in finding.title


def test_three_of_five_fields_in_the_readme_are_enough(check):
    readme = "Trained on the 2020 dataset. Accuracy on the test rows: 0.91. Limitations: only adults.\n"
    assert check("MLE0111", {"t.py": TRAIN, "README.md": readme}) == []


def test_a_description_beside_the_model_is_read_too(check):
    described = {"t.py": TRAIN, "README.md": "Accuracy: 0.91\n", "models/model_description.md": "Dataset: 2020.\n"}
    (finding,) = check("MLE0111", described)
    assert "training data" not in finding.title and "metrics" not in finding.title


def test_a_card_is_enough(check):
    assert check("MLE0111", {"t.py": TRAIN, "docs/MODEL_CARD.md": "# Card\n"}) == []


def test_without_an_artefact_there_is_nothing_to_describe(check):
    assert check("MLE0111", {"t.py": "from sklearn.svm import SVC\nSVC().fit(X, y)\n"}) == []


def test_a_save_through_a_helper_is_reported_where_training_calls_it(check, place):
    files = {
        "util.py": "import pickle\ndef keep(m):\n    pickle.dump(m, open('m.pkl', 'wb'))\n",
        "train.py": "from util import keep\nfrom sklearn.svm import SVC\nm = SVC()\nm.fit(X, y)\nkeep(m)\n",
    }
    (finding,) = check("MLE0111", files)
    assert place(finding) == ("train.py", 5)


def test_a_limit_of_other_work_is_none_of_the_model(check):
    code = "import torch\nloss.backward()\ntorch.save(m, 'm.pt')\n"
    readme = "Trained on the data set X. Licensed under MIT. To address this limitation, we propose a model.\n"
    assert len(check("MLE0111", {"t.py": code, "README.md": readme})) == 1
    assert check("MLE0111", {"t.py": code, "README.md": readme + "## Limitations\nSmall pictures.\n"}) == []


def test_a_model_that_is_only_shipped(check):
    code = "import joblib\nm = joblib.load('xgb_model.sav')\nprint(m.predict([[1]]))\n"
    assert len(check("MLE0111", {"main.py": code, "data/xgb_model.sav": b"x"})) == 1
    assert check("MLE0111", {"main.py": code, "data/xgb_model.sav": b"x", "MODEL_CARD.md": "# Model\n"}) == []


def test_a_card_that_a_program_writes(check):
    code = "import joblib\nfrom sklearn.svm import SVC\njoblib.dump(SVC().fit(X, y), 'm.joblib')\n"
    assert len(check("MLE0111", {"train.py": code})) == 1
    assert check("MLE0111", {"train.py": code + "open('model_card.md', 'w').write(card)\n"}) == []


def test_a_column_of_figures_and_a_chinese_readme(check):
    code = "import torch\nloss.backward()\ntorch.save(m, 'm.pt')\n"
    readme = "数据集: THUCNews\n\n模型|acc|备注\n--|--|--\nCNN|91.2%|x\n"
    assert check("MLE0111", {"t.py": code, "README.md": readme, "LICENSE": "MIT License"}) == []
    assert len(check("MLE0111", {"t.py": code, "README.md": readme.replace("|acc|", "|x|"), "LICENSE": "MIT"})) == 1


def test_a_method_that_saves_the_models_of_a_library(check):
    project = '[project]\nname = "lib"\nclassifiers = ["Programming Language :: Python :: 3"]\n'
    code = "import torch\ndef keep(model, name):\n    loss.backward()\n    torch.save(model, name)\n"
    files = {"pyproject.toml": project, "lib/__init__.py": "", "lib/a.py": code}
    assert check("MLE0111", files) == []
    assert len(check("MLE0111", {**files, "lib/base.pth": b"x"})) == 1


def test_a_function_imported_as_save_has_no_owner(check, place):
    code = (
        "from numpy import save\nfrom sklearn.svm import SVC\nm = made()\nm.fit(X, y)\nsave('x.npy', X)\nm.save('m')\n"
    )
    (finding,) = check("MLE0111", {"t.py": code})
    assert place(finding) == ("t.py", 6)
