import pickle


def test_one_finding_for_the_repository(check):
    files = {
        "m.pkl": pickle.dumps(1),
        "big.csv": b"a,b\n" * 300_000,
        "small.csv": b"a\n",
        "pic.png": b"\x89PNG" * 500_000,
    }
    (finding,) = check("MLE1007", files)
    assert [e.path for e in finding.evidence] == ["m.pkl", "big.csv"]


def test_pointers_and_fixtures(check):
    lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    assert check("MLE1007", {"m.pkl": lfs, "tests/m.pkl": pickle.dumps(1)}) == []


def test_what_a_document_shows_is_no_data(check):
    film = b"x" * 1_200_000
    (finding,) = check("MLE1007", {"docs/media/how.mp4": film, "data/clip.mp4": film})
    assert [e.path for e in finding.evidence] == ["data/clip.mp4"]


def test_pictures_by_the_hundred(check):
    files = {f"{folder}/a/{n:03}.jpg": b"x" * 11_000 for n in range(100) for folder in ("dataset", "site")}
    (finding,) = check("MLE1007", files)
    assert [e.path for e in finding.evidence] == ["dataset/a/000.jpg"]


def test_an_hdf5_file_without_a_suffix(check):
    files = {"models/dqn_50": b"\x89HDF\r\n\x1a\n" + b"\0" * 2_000, "models/notes": b"x" * 2_000}
    (finding,) = check("MLE1007", files)
    assert [e.path for e in finding.evidence] == ["models/dqn_50"]
