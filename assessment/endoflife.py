"""When base images and runtimes stopped getting security fixes. Dates are those the projects announce.

`ended(image)` says which part of an image is past its end, and when it ended, as of `AS_OF`. The table is data: a new
release of this product brings a new one, so that one version always says the same of the same repository.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_engineer.assessment.docker import Image

AS_OF = date(2026, 11, 30)

# Last day of security fixes, by product and release.
_PYTHON = {
    "2.7": "2020-01-01", "3.4": "2019-03-18", "3.5": "2020-09-13", "3.6": "2021-12-23", "3.7": "2023-06-27",
    "3.8": "2024-10-07", "3.9": "2025-10-31", "3.10": "2026-10-31", "3.11": "2027-10-31", "3.12": "2028-10-31",
}  # fmt: skip
_UBUNTU = {
    "14.04": "2019-04-30", "16.04": "2021-04-30", "18.04": "2023-05-31", "20.04": "2025-05-31", "22.04": "2027-04-30",
    "19.10": "2020-07-17", "20.10": "2021-07-22", "21.04": "2022-01-20", "21.10": "2022-07-14", "22.10": "2023-07-20",
    "23.04": "2024-01-25", "23.10": "2024-07-11", "24.10": "2025-07-10", "trusty": "2019-04-30", "xenial": "2021-04-30",
    "bionic": "2023-05-31", "focal": "2025-05-31",
}  # fmt: skip
_DEBIAN = {
    "8": "2020-06-30", "9": "2022-06-30", "10": "2024-06-30", "11": "2026-08-31", "12": "2028-06-30",
    "jessie": "2020-06-30", "stretch": "2022-06-30", "buster": "2024-06-30", "bullseye": "2026-08-31",
}  # fmt: skip
_CENTOS = {"6": "2020-11-30", "7": "2024-06-30", "8": "2021-12-31", "5": "2017-03-31"}
_NODE = {
    "8": "2019-12-31", "10": "2021-04-30", "12": "2022-04-30", "14": "2023-04-30", "16": "2023-09-11",
    "18": "2025-04-30", "20": "2026-04-30", "22": "2027-04-30",
}  # fmt: skip
_MINICONDA = {"4.5": "2023-06-27", "4.6": "2023-06-27", "4.7": "2023-06-27", "4.8": "2023-06-27"}  # they bring 3.7
_TENSORFLOW = {"1": "2021-06-14"}  # the last patch of 1.15


@dataclass(frozen=True, slots=True)
class Ended:
    """What is past its end, and since when."""

    what: str
    since: date

    @property
    def days(self) -> int:
        return (AS_OF - self.since).days


def ended(image: Image) -> Ended | None:
    """What of an image is past its end, or None: nothing, or nothing that is known."""
    base, tag = image.base.lower(), image.tag.lower()
    release = re.match(r"v?(\d+(?:\.\d+)?)", tag)
    version = release[1] if release else ""
    found: list[Ended | None] = []
    if base in ("python", "aws-lambda-python", "uvicorn-gunicorn-fastapi", "uvicorn-gunicorn"):
        python = re.search(r"(?:^|python)(\d\.\d+)", tag)
        found.append(_look("Python", _PYTHON, python[1] if python else ""))
    elif base in ("ubuntu", "debian", "centos", "node"):
        table = {"ubuntu": _UBUNTU, "debian": _DEBIAN, "centos": _CENTOS, "node": _NODE}[base]
        names = {"ubuntu": "Ubuntu", "debian": "Debian", "centos": "CentOS", "node": "Node.js"}
        word = re.split(r"[-_]", tag)[0]
        keys = (word, version, version.split(".")[0]) if base != "ubuntu" else (word, version)
        found.extend(_look(names[base], table, key) for key in keys)
    elif (python := re.search(r"(?:^|[-_.])py(?:thon)?-?(\d\.\d+)(?![\d.]*\d)", tag)) is not None:
        found.append(_look("Python", _PYTHON, python[1]))
    elif base in ("miniconda3", "anaconda3"):
        found.append(_look("Python 3.7 of Miniconda", _MINICONDA, version))
    elif base == "tensorflow" and version.startswith("1"):
        found.append(_look("TensorFlow", _TENSORFLOW, "1"))
    system = re.search(r"ubuntu-?(\d\d\.?\d\d)", tag)
    if system:
        number = system[1] if "." in system[1] else f"{system[1][:2]}.{system[1][2:]}"
        found.append(_look("Ubuntu", _UBUNTU, number))
    for name in re.findall(r"[a-z]+", tag):
        if base not in ("ubuntu", "debian") and name in _DEBIAN:
            found.append(_look("Debian", _DEBIAN, name))
    known = [item for item in found if item is not None]
    return min(known, key=lambda item: item.since) if known else None


def _look(product: str, table: dict[str, str], release: str) -> Ended | None:
    if release not in table:
        return None
    since = date.fromisoformat(table[release])
    label = product if re.search(r"\d", product) else f"{product} {release}"
    return Ended(label, since) if since < AS_OF else None
