import pytest


@pytest.mark.parametrize(
    "line", ["litellm==1.82.7", "litellm>=1.82.0,<1.83", "lightning~=2.6.2", "deepseeek", "ultralytics==8.3.41"]
)
def test_a_harmful_release_is_admitted(check, place, line):
    (finding,) = check("MLE1003", {"requirements.txt": f"numpy\n{line}\n"})
    assert (place(finding), finding.severity) == (("requirements.txt", 2), "critical")


def test_a_lock_counts(check, place):
    lock = '[[package]]\nname = "litellm"\nversion = "1.82.8"\n'
    (finding,) = check(
        "MLE1003", {"uv.lock": lock, "pyproject.toml": '[project]\nname = "x"\ndependencies = ["litellm"]\n'}
    )
    assert place(finding) == ("uv.lock", 2)


@pytest.mark.parametrize(
    "line", ["litellm", "litellm==1.82.9", "litellm>=1.0", "lightning==2.*", "litellm>=1.82,!=1.82.7,!=1.82.8"]
)
def test_open_ranges_and_other_releases(check, line):
    assert check("MLE1003", {"requirements.txt": f"{line}\n"}) == []


@pytest.mark.parametrize(("pin", "places"), [("8.3.162", []), ("8.3.41", [("requirements/models.txt", 1)])])
def test_a_range_is_settled_by_a_pin_elsewhere(check, place, pin, places):
    project = '[project]\nname = "x"\ndependencies = ["ultralytics>=8.3"]\n'
    found = check("MLE1003", {"pyproject.toml": project, "requirements/models.txt": f"ultralytics=={pin}\n"})
    assert [place(f) for f in found] == places
