"""Data sets: reading them, looking at them, splitting them."""

from luthier.data.arrays import from_arrays
from luthier.data.checks import Finding
from luthier.data.dataset import GOALS, PARTS, TASKS, Dataset
from luthier.data.joined import join
from luthier.data.look import Look, look
from luthier.data.read import read
from luthier.data.split import Split, folds, split

__all__ = [
    "GOALS",
    "PARTS",
    "TASKS",
    "Dataset",
    "Finding",
    "Look",
    "Split",
    "folds",
    "from_arrays",
    "join",
    "look",
    "read",
    "split",
]
