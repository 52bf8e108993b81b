import pickle

import pytest


def test_none(check, place):
    (finding,) = check("MLE1014", {"README.md": "# X\n", "a.py": "x = 1\n"})
    assert (place(finding), finding.severity) == (("README.md", 1), "medium")


@pytest.mark.parametrize(
    "extra",
    [
        {"LICENSE": "Permission is hereby granted, free of charge\n"},
        {"licence.txt": "x\n"},
        {"NOTICE": "Redistribution and use in source and binary forms\n"},
        {"pyproject.toml": '[project]\nlicense = "MIT"\n'},
        {"README.md": "# X\n## License\nMIT\n"},
    ],
)
def test_any_way_of_saying_it(check, extra):
    assert check("MLE1014", {"a.py": "x = 1\n", **extra}) == []


def test_shipped_weights_without_a_word(check):
    (finding,) = check("MLE1014", {"LICENSE": "MIT", "a.py": "x = 1\n", "m.pkl": pickle.dumps(1)})
    assert finding.severity == "info"


def test_the_licence_of_a_font_is_not_that_of_the_code(check):
    files = {"a.py": "x = 1\n", "app/static/font/LICENSE.txt": "Apache License\n"}
    assert len(check("MLE1014", files)) == 1


def test_the_licence_of_an_installed_library_is_not_that_of_the_code(check):
    assert len(check("MLE1014", {"a.py": "x = 1\n", "ios/Pods/LibTorch/LICENSE": "BSD\n"})) == 1
