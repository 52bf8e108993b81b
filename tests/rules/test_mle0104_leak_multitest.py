import pytest

KERAS = """\
from keras.models import Sequential
from keras.callbacks import EarlyStopping
from sklearn.model_selection import train_test_split
X_train, X_test, y_train, y_test = train_test_split(*load())
model = Sequential()
"""


def test_early_stopping_on_the_reported_half_is_high(check, place):
    code = KERAS + (
        "stop = EarlyStopping(patience=2)\n"
        "model.fit(X_train, y_train, validation_data=(X_test, y_test), callbacks=[stop])\n"
        "print(model.evaluate(X_test, y_test))\n"
    )
    (finding,) = check("MLE0104", {"t.py": code})
    assert place(finding) == ("t.py", 7)
    assert finding.severity == "high"


def test_watching_without_stopping_is_low(check):
    code = KERAS + "model.fit(X_train, y_train, validation_data=(X_test, y_test))\n"
    (finding,) = check("MLE0104", {"t.py": code})
    assert finding.severity == "low"


def test_a_validation_half_is_right(check):
    code = KERAS + (
        "X_train, X_val, y_train, y_val = train_test_split(X_train, y_train)\n"
        "model.fit(X_train, y_train, validation_data=(X_val, y_val), callbacks=[EarlyStopping()])\n"
    )
    assert check("MLE0104", {"t.py": code}) == []


def test_the_best_of_a_loop_on_the_test_half(check, place):
    code = """\
    from sklearn.svm import SVC
    from sklearn.model_selection import train_test_split
    X_train, X_test, y_train, y_test = train_test_split(*load())
    best = 0
    for c in (0.1, 1, 10):
        clf = SVC(C=c).fit(X_train, y_train)
        s = clf.score(X_test, y_test)
        if s > best:
            best, model = s, clf
    """
    (finding,) = check("MLE0104", {"t.py": code})
    assert place(finding) == ("t.py", 7)
    assert finding.severity == "high"


def test_the_best_of_a_helper_that_scores_candidates(check, place):
    code = """\
    from sklearn.model_selection import train_test_split
    def compare(models, X_train, y_train, X_test, y_test):
        report = {}
        for m in models:
            m.fit(X_train, y_train)
            report[m] = m.score(X_test, y_test)
        return report
    a, b, c, d = train_test_split(*load())
    scores = compare(models, a, c, b, d)
    best = max(scores.values())
    """
    (finding,) = check("MLE0104", {"t.py": code})
    assert place(finding) == ("t.py", 6)
    assert finding.severity == "medium"


TORCH = """\
import torch
def train(x):
    net(x).mean().backward()
def test(epoch):
    global best_acc
    for x, y in {loader}:
        acc = judge(net(x), y)
    if acc > best_acc:
        torch.save(net.state_dict(), "ckpt.pth")
"""


def test_a_checkpoint_chosen_on_the_test_loader_is_high(check, place):
    (finding,) = check("MLE0104", {"t.py": TORCH.format(loader="testloader")})
    assert place(finding) == ("t.py", 8)
    assert finding.severity == "high"


def test_a_checkpoint_chosen_on_a_validation_loader_is_right(check):
    assert check("MLE0104", {"t.py": TORCH.format(loader="val_loader")}) == []


def test_stopping_on_a_fold_is_validation(check):
    code = """\
    import xgboost
    from sklearn.model_selection import KFold
    for tr, va in KFold(5).split(X):
        m = xgboost.XGBClassifier(early_stopping_rounds=5)
        m.fit(X[tr], y[tr], eval_set=[(X[va], y[va])])
        m.predict(X[va])
    """
    assert check("MLE0104", {"t.py": code}) == []


def test_the_choice_may_stand_around_another_condition(check, place):
    code = """\
    from keras.models import Sequential
    model = Sequential()
    best = 0
    for epoch in range(20):
        model.fit(x, y)
        hits = evaluate_model(model, testRatings)
        if hits > best:
            best = hits
            if keep:
                model.save_weights("m.h5")
    """
    (finding,) = check("MLE0104", {"t.py": code})
    assert place(finding) == ("t.py", 7)


TORCH_BEST = """\
import torch
{setting}
for epoch in range(9):
    loss.backward()
    val_acc = accuracy(net, test_loader)
    if val_acc > best_acc:
        torch.save(net.state_dict(), "net.pt")
        best_acc = val_acc
"""


def test_a_figure_that_is_called_validation_is_still_of_the_test_set(check, place):
    (finding,) = check("MLE0104", {"t.py": TORCH_BEST.format(setting="transform_valid = compose()")})
    assert (place(finding), finding.severity.value) == (("t.py", 6), "high")
    assert check("MLE0104", {"t.py": TORCH_BEST.format(setting="valid_loader = make()")}) == []


FOLDERS = """\
import torch
from glob import glob
valid_x = sorted(glob("new_data/{folder}/image/*"))
for epoch in range(3):
    loss.backward()
    valid_loss = evaluate(net, valid_x)
    if valid_loss < best_valid_loss:
        torch.save(net.state_dict(), "net.pt")
        best_valid_loss = valid_loss
"""


def test_a_validation_that_is_read_from_the_folder_of_the_test(check, place):
    report = {"report.py": "from glob import glob\ntest_x = glob('new_data/test/image/*')\n"}
    (finding,) = check("MLE0104", {"t.py": FOLDERS.format(folder="test"), **report})
    assert (place(finding), finding.severity.value) == (("t.py", 3), "high")
    assert check("MLE0104", {"t.py": FOLDERS.format(folder="val"), **report}) == []
    assert check("MLE0104", {"t.py": FOLDERS.format(folder="test"), "report.py": "x = 1\n"}) == []


FOLDS = """\
import lightgbm as lgb
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold
for fold, (tr, va) in enumerate(KFold(5).split(X)):
    X_tr, X_va = X.iloc[tr], X.iloc[va]
    model = lgb.train(params, lgb.Dataset(X_tr, y[tr]), valid_sets=[lgb.Dataset(X_va, y[va])]{stop})
    oof[va] = model.predict(X_va)
print(roc_auc_score(y, oof))
"""


def test_a_fold_that_stops_its_own_training_and_is_scored(check, place):
    (finding,) = check("MLE0104", {"t.py": FOLDS.format(stop=", callbacks=[lgb.early_stopping(50)]")})
    assert (place(finding), finding.severity.value) == (("t.py", 6), "medium")
    assert check("MLE0104", {"t.py": FOLDS.format(stop="")}) == []
    both = FOLDS.replace("valid_sets=[", "valid_sets=(lgb.Dataset(X_tr, y[tr]), ").replace("y[va])]", "y[va]))")
    assert len(check("MLE0104", {"t.py": both.format(stop=", early_stopping_rounds=20")})) == 1


def test_the_test_part_of_a_published_data_set_under_another_name(check, place):
    code = """\
    import torch
    from torchvision import datasets
    val_loader = torch.utils.data.DataLoader(datasets.CIFAR10(".", train=False), batch_size=9)
    best = 0
    for epoch in range(9):
        loss.backward()
        acc = validate(val_loader)
        is_best = acc > best
        best = max(acc, best)
        if is_best:
            torch.save(net, "net.pt")
    """
    (finding,) = check("MLE0104", {"t.py": code})
    assert place(finding) == ("t.py", 8)
    assert check("MLE0104", {"t.py": code.replace("train=False", "train=True")}) == []
    assert check("MLE0104", {"t.py": code.replace("best = 0", "best, part = 0, torch.utils.data.Subset(a, b)")}) == []


def test_folds_that_are_shown_as_they_go(check):
    shown = FOLDS.replace("enumerate(KFold(5).split(X))", "tqdm(enumerate(KFold(5).split(X)), total=5)")
    shown = f"from tqdm import tqdm\n{shown}"
    assert len(check("MLE0104", {"t.py": shown.format(stop=", callbacks=[lgb.early_stopping(50)]")})) == 1


def test_catboost_that_keeps_the_best_trees_of_a_fold(check):
    code = """
        from catboost import CatBoostClassifier, Pool
        from sklearn.metrics import f1_score
        from sklearn.model_selection import KFold
        for tr, va in KFold(5).split(X):
            X_tr, X_va = X.iloc[tr], X.iloc[va]
            held = Pool(X_va, y[va])
            model = CatBoostClassifier()
            model.fit(Pool(X_tr, y[tr]), eval_set=held, use_best_model=True)
            print(f1_score(y[va], model.predict(held)))
    """
    assert len(check("MLE0104", {"t.py": code})) == 1
    assert check("MLE0104", {"t.py": code.replace(", use_best_model=True", "")}) == []


@pytest.mark.parametrize(
    "chosen",
    [
        "p, r, thresholds = precision_recall_curve({y}, scores)\nbest = np.argmax(p * r)\ncut = thresholds[best]\n",
        "for t in np.arange(0, 1, 0.1):\n    f1 = f1_score({y}, s >= t)\n    if f1 > best:\n        threshold = t\n",
    ],
)
def test_a_threshold_that_is_chosen_on_the_test_half(check, chosen):
    code = (
        "import numpy as np\nfrom sklearn.svm import SVC\nfrom sklearn.model_selection import train_test_split\n"
        "from sklearn.metrics import f1_score, precision_recall_curve\n"
        "X_train, X_test, y_train, y_test = train_test_split(X, y)\nmodel = SVC().fit(X_train, y_train)\n"
    )
    (finding,) = check("MLE0104", {"t.py": code + chosen.format(y="y_test")})
    assert finding.severity == "medium"
    assert "threshold" in finding.title
    assert check("MLE0104", {"t.py": code + chosen.format(y="y_train")}) == []


def test_a_flag_of_the_best_on_the_test_loader(check, place):
    code = (
        "import torch\ndef main():\n    best = 0\n    for epoch in range(9):\n"
        "        loss = criterion(model(x), y)\n        loss.backward()\n        optimizer.step()\n"
        "        acc = test({loader}, model)\n        is_best = acc > best\n        best = max(acc, best)\n"
        "        save_checkpoint(model.state_dict(), is_best)\ndef save_checkpoint(state, is_best):\n"
        "    torch.save(state, 'last.pt')\n    if is_best:\n        shutil.copyfile('last.pt', 'best.pt')\nmain()\n"
    )
    (finding,) = check("MLE0104", {"t.py": code.format(loader="testloader")})
    assert place(finding) == ("t.py", 9)
    assert check("MLE0104", {"t.py": code.format(loader="trainloader")}) == []


@pytest.mark.parametrize(
    ("rows", "best", "told"),
    [
        ("test", "max(results, key=results.get)", True),
        ("test", "b", True),
        ("test", "search.best_estimator_", False),
        ("train", "max(results, key=results.get)", False),
    ],
)
def test_fitted_models_of_which_the_test_half_names_the_best(check, rows, best, told):
    code = (
        "from sklearn.svm import SVC\nfrom sklearn.model_selection import train_test_split\n"
        "from sklearn.metrics import roc_auc_score\n"
        "X_train, X_test, y_train, y_test = train_test_split(X, y)\n"
        "a = SVC(C=1).fit(X_train, y_train)\nb = SVC(C=2).fit(X_train, y_train)\nmodels = [a, b]\nresults = {}\n"
        f"for model in models:\n    p = model.predict(X_{rows})\n    results[model] = roc_auc_score(y_{rows}, p)\n"
        f"best_model = {best}\n"
    )
    assert bool(check("MLE0104", {"t.py": code})) is told
