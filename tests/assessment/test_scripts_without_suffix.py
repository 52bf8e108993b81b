"""Programs in Python that have no suffix: found by their first line."""

from ml_engineer.assessment.repo import Repo


def test_a_program_is_one_by_its_first_line(tmp_path):
    (tmp_path / "v1.0").mkdir()
    files = {
        "v1.0/train": "#!/usr/bin/env python\nimport sklearn\n",
        "serve": "#!/usr/bin/python3.11\nimport flask\n",
        "start": "#!/bin/bash\npython train.py\n",
        "LICENSE": "MIT License\n",
        "a.py": "import numpy\n",
    }
    for path, text in files.items():
        (tmp_path / path).write_text(text)
    modules = Repo.open(tmp_path).all_modules
    assert {module.path: module.dotted for module in modules} == {
        "a.py": "a",
        "serve": "serve",
        "v1.0/train": "v1.0.train",
    }
    assert [item.target for item in modules[1].imports] == ["flask"]
