"""What a setup.py asks for where it makes its requirements at run time."""

from ml_engineer.assessment.repo import Repo


def declared(tmp_path, files):
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return [(d.name, d.specifier) for d in Repo.open(tmp_path).dependencies.declared]


def test_lists_that_it_picks_from_are_declared(tmp_path):
    text = (
        "from setuptools import setup\n"
        '_deps = ["torch>=2.1", "numpy"]\n'
        'TOPICS = ["science", "models"]\n'
        "deps = {d.split('>')[0]: d for d in _deps}\n"
        'required = []\nrequired.append("pandas==2.0")\n'
        "setup(name='x', install_requires=pick(deps, required))\n"
    )
    assert declared(tmp_path, {"setup.py": text}) == [("numpy", ""), ("torch", ">=2.1"), ("pandas", "==2.0")]


def test_a_literal_list_decides_alone(tmp_path):
    text = 'from setuptools import setup\nextra_deps = ["torch"]\nsetup(name="x", install_requires=["numpy"])\n'
    assert declared(tmp_path, {"setup.py": text}) == [("numpy", "")]


def test_files_that_it_opens_are_read(tmp_path):
    text = (
        "from setuptools import setup\n"
        "setup(long_description=open('README.txt').read(), install_requires=open('envs/base.txt').read().split())\n"
    )
    files = {"setup.py": text, "envs/base.txt": "scipy==1.11\n", "README.txt": "flask\n"}
    assert declared(tmp_path, files) == [("scipy", "==1.11")]
