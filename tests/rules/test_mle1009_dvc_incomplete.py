STAGES = "stages:\n  train:\n    cmd: python t.py\n    outs:\n      - model.pkl\n"


def test_neither_remote_nor_lock(check):
    titles = [f.title for f in check("MLE1009", {"dvc.yaml": STAGES})]
    assert len(titles) == 2 and "remote" in titles[0] and "dvc.lock" in titles[1]


def test_complete(check):
    config = "[core]\n    remote = s\n['remote \"s\"']\n    url = s3://x\n"
    assert check("MLE1009", {"dvc.yaml": STAGES, "dvc.lock": "stages: {}\n", ".dvc/config": config}) == []


def test_outputs_that_stay_in_git_need_no_remote(check):
    stages = STAGES.replace("- model.pkl", "- metrics.json:\n          cache: false")
    assert check("MLE1009", {"dvc.yaml": stages, "dvc.lock": "stages: {}\n"}) == []


def test_a_remote_in_a_temporary_folder(check, place):
    config = "[core]\n    remote = s\n['remote \"s\"']\n    url = /tmp/dvcstore\n"
    (finding,) = check("MLE1009", {"dvc.yaml": STAGES, "dvc.lock": "stages: {}\n", ".dvc/config": config})
    assert place(finding) == (".dvc/config", 4)
