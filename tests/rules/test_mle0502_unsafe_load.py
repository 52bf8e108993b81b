def test_a_pickle_that_is_loaded_is_reported_at_its_line(check, place):
    (finding,) = check("MLE0502", {"app.py": "import pickle as p\nmodel = p.load(open('m.pkl', 'rb'))\n"})
    assert place(finding) == ("app.py", 2)


def test_json_is_no_danger(check):
    assert check("MLE0502", {"app.py": "import json\nmodel = json.load(open('m.json'))\n"}) == []
