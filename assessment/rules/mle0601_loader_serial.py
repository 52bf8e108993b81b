"""M6-01: a torch DataLoader without workers over a data set that reads or decodes files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.grouping import per_file
from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

LOADERS = ("torch.utils.data.DataLoader", "torch.utils.data.dataloader.DataLoader", "torch_geometric.*.DataLoader")
# Data sets of torchvision and torchaudio that open a file for each item.
_FROM_FILES = re.compile(
    r"(torchvision\.datasets|torchaudio\.datasets)\.(folder\.)?(ImageFolder|DatasetFolder|Coco\w+|VOC\w+|ImageNet|CelebA|"
    r"Cityscapes|Kinetics\w*|UCF101|HMDB51|Places365|LSUN|LIBRISPEECH|SPEECHCOMMANDS|Flowers102|Food101)\(\)"
)
_READS = (
    "PIL.Image.open", "cv2.imread", "cv2.VideoCapture", "imageio.*", "skimage.io.imread", "torchvision.io.*",
    "torchaudio.load", "librosa.load", "soundfile.read", "numpy.load", "open", "h5py.File", "pandas.read_*",
    "torch.load", "nibabel.load", "pydicom.dcmread", "scipy.io.wavfile.read", "matplotlib.*.imread", "rasterio.open",
)  # fmt: skip


def _has_loader(repo: Repo) -> bool:
    return any(True for _ in repo.calls(*LOADERS, tests=False))


@rule(
    id="MLE0601",
    name="loader-serial",
    step=6,
    severity=MEDIUM,
    title="DataLoader reads files in the training process itself",
    why="The GPU waits while each item is read and decoded, one after another.",
    remedy="Set num_workers (start with the number of cores), persistent_workers and prefetch_factor.",
    source="PyTorch performance guide; Sonar S6983",
    peers=("aiops-specialist",),
    applies=_has_loader,
)
def check(repo: Repo) -> Iterator[Hit]:
    sites: list[Site] = [
        call.site() for call in repo.calls(*LOADERS, tests=False) if _is_serial(repo, call) and _reads_files(repo, call)
    ]
    for group in per_file(sites):
        yield Hit(group)


def _is_serial(repo: Repo, call: Call) -> bool:
    from ml_engineer.assessment.values import constant

    given = call.argument(5, "num_workers")
    if given is None:
        return not call.has_unpacked_keywords
    return constant(repo, call.module, given) == 0


def _reads_files(repo: Repo, call: Call) -> bool:
    """Whether an item of the data set costs reading a file; unknown data sets count as no."""
    from ml_engineer.assessment import callgraph
    from ml_engineer.assessment.dataflow import sources
    from ml_engineer.assessment.repo import matches
    from ml_engineer.assessment.serving import reached
    from ml_engineer.assessment.values import calls_of

    for step in sources(repo, call.module, call.argument(0, "dataset")):
        name = step.module.resolve(step.node)
        if _FROM_FILES.match(name):
            return True
        if name.endswith("()") and name[:-2] in repo.classes:
            item = callgraph.method(repo, name[:-2], "__getitem__")
            if item is not None:
                functions = reached(repo, item, handed_over=False)
                return any(matches(c.name, *_READS) for f in functions for c in calls_of(f.module, f))
    return False
