"""What training a network is made of, each piece usable alone, in PyTorch (floor 5: nobody inside imports it)."""

from luthier.errors import MissingExtra

try:
    import torch as _torch  # noqa: F401 - asked for here, so that every module below can take it for granted
except ImportError:
    raise MissingExtra("PyTorch", "torch") from None

from luthier.training.losses import CrossEntropy, Regression, class_weights
from luthier.training.optimizers import make_optimizer, rows_of_a_step, scaled_rate
from luthier.training.scaling import Scaler
from luthier.training.schedules import Plateau, factor
from luthier.training.trainer import Settings, Trainer

__all__ = [
    "CrossEntropy", "Plateau", "Regression", "Scaler", "Settings", "Trainer", "class_weights", "factor",
    "make_optimizer", "rows_of_a_step", "scaled_rate",
]  # fmt: skip
