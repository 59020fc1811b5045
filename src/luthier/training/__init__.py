"""What training a network is made of, each piece usable alone, in PyTorch (floor 5: nobody inside imports it)."""

from luthier.errors import MissingExtra

try:
    import torch as _torch  # noqa: F401 - asked for here, so that every module below can take it for granted
except ImportError:
    raise MissingExtra("PyTorch", "torch") from None

from luthier.training.babysit import Babysitter, babysit
from luthier.training.babysit_trainer import babysit_trainer
from luthier.training.hypergradient import Hypergradient
from luthier.training.intervention import nudge
from luthier.training.losses import CrossEntropy, Regression, class_weights
from luthier.training.optimizers import make_optimizer, rows_of_a_step, scaled_rate
from luthier.training.panda_rules import Rules
from luthier.training.range_test import range_test
from luthier.training.rate_log import RateLog
from luthier.training.scaling import Scaler
from luthier.training.schedules import Plateau, factor
from luthier.training.settings import Settings
from luthier.training.trainer import Trainer
from luthier.training.transfer import Transfer, fine_tuning_groups, freeze, thaw, transfer, unfreeze

__all__ = [
    "Babysitter", "CrossEntropy", "Hypergradient", "Plateau", "RateLog", "Regression", "Rules", "Scaler",
    "Settings", "Trainer", "Transfer", "babysit", "babysit_trainer", "class_weights", "factor",
    "fine_tuning_groups", "freeze", "make_optimizer", "nudge", "range_test", "rows_of_a_step", "scaled_rate",
    "thaw", "transfer", "unfreeze",
]  # fmt: skip
