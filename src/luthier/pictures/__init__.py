"""Pictures of a training and of a classifier: arrays in, a matplotlib figure out; `save` writes it."""

from luthier.pictures.boundary import decision_boundary
from luthier.pictures.canvas import save
from luthier.pictures.cost import review_curve
from luthier.pictures.curves import learning_curves
from luthier.pictures.filters import filters
from luthier.pictures.matrix import confusion_matrix
from luthier.pictures.mistakes import worst_mistakes
from luthier.pictures.reliability import reliability

__all__ = [
    "confusion_matrix", "decision_boundary", "filters", "learning_curves", "reliability", "review_curve", "save",
    "worst_mistakes",
]  # fmt: skip
