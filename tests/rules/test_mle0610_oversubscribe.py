APP = "import torch\nfrom flask import Flask\napp = Flask(__name__)\n@app.route('/p')\ndef p():\n    return ''\n"
IMAGE = 'FROM python:3.12\n{cap}CMD ["gunicorn", "--workers", "4", "app:app"]\n'


def test_workers_without_a_cap_on_threads(check, place):
    (finding,) = check("MLE0610", {"app.py": APP, "Dockerfile": IMAGE.format(cap="")})
    assert (finding.severity.value, place(finding)) == ("low", ("Dockerfile", 2))


def test_a_cap_in_the_image_or_the_code(check):
    assert check("MLE0610", {"app.py": APP, "Dockerfile": IMAGE.format(cap="ENV OMP_NUM_THREADS=1\n")}) == []
    assert check("MLE0610", {"app.py": APP + "torch.set_num_threads(1)\n", "Dockerfile": IMAGE.format(cap="")}) == []


def test_one_worker_is_no_fight(check):
    assert check("MLE0610", {"app.py": APP, "Dockerfile": IMAGE.format(cap="").replace('"4"', '"1"')}) == []
