"""Which Python a pinned framework still runs on, and which one a release of a library asks for.

torch==1.0.1 has wheels up to Python 3.7, and numpy 1.24 asks for 3.8: where the first is pinned, the second never
comes.

    out_of_reach(dependencies, library, version)   whether a release asks for a newer Python than there can be
    may_run_on(dependencies, version)              whether that Python, or a later one, may run the code
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.version import Version

if TYPE_CHECKING:
    from ml_engineer.assessment.dependencies import Dependencies

# Framework, the first release with wheels for a newer Python, the newest Python of the releases before.
_WHEELS_UP_TO = (
    ("torch", "0.4.1", (3, 6)), ("torch", "1.4", (3, 7)), ("torch", "1.7.1", (3, 8)), ("torch", "1.11", (3, 9)),
    ("torch", "1.13", (3, 10)),
    ("tensorflow", "2.2", (3, 7)), ("tensorflow", "2.5", (3, 8)), ("tensorflow", "2.8", (3, 9)),
    ("tensorflow", "2.12", (3, 10)),
)  # fmt: skip
# Library, release, the oldest Python that it installs on.
_ASKS_FOR = (
    ("numpy", "1.22", (3, 8)), ("numpy", "1.25", (3, 9)), ("numpy", "2.1", (3, 10)),
    ("pandas", "1.4", (3, 8)), ("pandas", "2.1", (3, 9)),
    ("scikit-learn", "1.1", (3, 8)), ("scikit-learn", "1.4", (3, 9)), ("scikit-learn", "1.7", (3, 10)),
    ("scipy", "1.8", (3, 8)), ("scipy", "1.11", (3, 9)), ("scipy", "1.14", (3, 10)),
    ("matplotlib", "3.6", (3, 8)), ("matplotlib", "3.8", (3, 9)), ("matplotlib", "3.10", (3, 10)),
    ("pillow", "10", (3, 8)), ("scikit-image", "0.20", (3, 8)), ("seaborn", "0.13", (3, 8)),
    ("albumentations", "1.4", (3, 8)), ("pytorch-lightning", "2.0", (3, 8)), ("torchmetrics", "1.0", (3, 8)),
    ("transformers", "4.31", (3, 8)), ("transformers", "4.47", (3, 9)), ("librosa", "0.11", (3, 8)),
)  # fmt: skip


def out_of_reach(dependencies: Dependencies, library: str, version: str, near: str | None = None) -> bool:
    """Whether a pinned framework holds the environment at a Python that this release of a library asks more of."""
    wanted = Version(version)
    asked = max(
        (python for name, since, python in _ASKS_FOR if name == library and Version(since) <= wanted), default=None
    )
    if asked is None:
        return False
    return any(
        python < asked and dependencies.may_be_at_least(name, release, near) is False
        for name, release, python in _WHEELS_UP_TO
    )


def may_run_on(dependencies: Dependencies, version: str, near: str | None = None) -> bool:
    """Whether this Python, or a later one, may run the code: no file and no pinned framework holds it at an older."""
    from ml_engineer.assessment.dependencies import allows_from

    held = [declared for declared in dependencies.pythons if declared.kind not in ("requires-python", "ci")]
    asked = held or dependencies.pythons
    if asked and not any(allows_from(declared.spec, version) for declared in asked):
        return False
    return not any(
        python < Version(version).release and dependencies.may_be_at_least(name, release, near) is False
        for name, release, python in _WHEELS_UP_TO
    )
