import pickle


def test_a_cut_pickle(check, place):
    whole = pickle.dumps(list(range(100)))
    (finding,) = check("MLE0113", {"m.pkl": whole[: len(whole) // 2]})
    assert (place(finding), finding.severity) == (("m.pkl", 1), "medium")


def test_a_whole_pickle(check):
    assert check("MLE0113", {"m.pkl": pickle.dumps([1])}) == []


def test_a_packing_that_is_not_read_is_said_softly(check):
    (finding,) = check("MLE0113", {"m.joblib": b"\x04\x22\x4d\x18" + b"\0" * 40})
    assert finding.severity == "low"
