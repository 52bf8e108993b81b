import subprocess


def test_left_overs(check, tmp_path):
    files = {"mlruns/0/meta.yaml": "a: 1\n", "catboost_info/x.tsv": "1\n", "a.py": "x = 1\n", "logs/train.log": "x\n"}
    (finding,) = check("MLE1011", files)
    assert {e.path for e in finding.evidence} == {"mlruns/0/meta.yaml", "catboost_info/x.tsv", "logs/train.log"}
    assert finding.severity == "low"


def test_what_git_does_not_track(check, tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert check("MLE1011", {"mlruns/0/meta.yaml": "a: 1\n", "blog.py": "x = 1\n"}) == []
