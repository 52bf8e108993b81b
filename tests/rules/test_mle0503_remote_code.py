HEAD = "import torch\nfrom transformers import AutoModel\n"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_trusting_remote_code_is_high(check, place):
    (finding,) = check("MLE0503", {"a.py": HEAD + "m = AutoModel.from_pretrained('a/b', trust_remote_code=True)\n"})
    assert (finding.severity.value, place(finding)) == ("high", ("a.py", 3))


def test_options_kept_in_a_dict_count(check, place):
    (finding,) = check("MLE0503", {"a.py": HEAD + "options = {'trust_remote_code': True}\n"})
    assert place(finding) == ("a.py", 3)


def test_a_commit_makes_it_low(check):
    line = f"m = AutoModel.from_pretrained('a/b', trust_remote_code=True, revision='{COMMIT}')\n"
    (finding,) = check("MLE0503", {"a.py": HEAD + line})
    assert finding.severity.value == "low"


def test_torch_hub_without_a_tag(check, place):
    (finding,) = check("MLE0503", {"a.py": HEAD + "m = torch.hub.load('ultralytics/yolov5', 'yolov5s')\n"})
    assert place(finding) == ("a.py", 3)


def test_tags_local_sources_and_switched_off_trust_are_silent(check):
    text = HEAD + (
        "a = torch.hub.load('pytorch/vision:v0.10.0', 'resnet18')\n"
        "b = torch.hub.load('./vendor/net', 'net', source='local')\n"
        "c = AutoModel.from_pretrained('a/b', trust_remote_code=False)\n"
        "d = AutoModel.from_pretrained('a/b', trust_remote_code=args.trust)\n"
    )
    assert check("MLE0503", {"a.py": text}) == []


def test_networks_of_the_torch_hub_are_one_habit(check):
    code = "import torch\ntorch.hub.load('a/b', 'net')\n"
    (finding,) = check("MLE0503", {"a.py": code, "b.py": code})
    assert [e.path for e in finding.evidence] == ["a.py", "b.py"]
