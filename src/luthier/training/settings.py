"""How to train: the settings of `luthier.training.Trainer`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from luthier.errors import SettingError
from luthier.training.schedules import SCHEDULES

Precision: TypeAlias = Literal["float32", "bfloat16", "auto"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to train.

    Parameters
    ----------
    epochs
        Passes through the training data.
    batch_size
        Rows of a step; a last batch of a single row is left out, as batch normalization cannot take it.
    accumulate
        Parts that a batch is cut into, one after the other through the network, when it does not fit as a whole.
    schedule, warmup, final
        Of the learning rate, see `luthier.training.schedules.factor`; `warmup` is a share of all steps.
    clip
        Longest gradient; longer ones are shortened to it. None for no limit.
    l1
        Strength of the L1 penalty. (L2 and decoupled decay are the optimizer's.)
    patience
        Epochs without a lower validation loss (or training loss, where there is no validation data) after which
        training ends; the network then has, as after the last epoch, the weights of its best epoch. None for no limit.
    ema
        What stays, in a step, of an average of the weights (`luthier.training.average`), such as 0.99; the network is
        judged with the average, and has it after the last epoch. 0 for the weights themselves.
    precision
        ``"bfloat16"`` runs the network in 16 bits, weights and loss stay in 32; ``"auto"`` does so where it pays
        (`luthier.training.hardware.suits_bfloat16`).
    channels_last
        Keep images as (B, H, W, C) in memory, which convolutions on processors and GPUs like better; ``"auto"`` does
        so if the network has convolutions over two dimensions.
    compile
        Let `torch.compile` write the network anew before the first step; where it cannot, training goes on without.
    device
        Where to train.
    seed
        Of everything random.

    Raises
    ------
    SettingError
        If a number is out of range or a name unknown.
    """

    epochs: int = 10
    batch_size: int = 64
    accumulate: int = 1
    schedule: str = "constant"
    warmup: float = 0.0
    final: float = 0.01
    clip: float | None = None
    l1: float = 0.0
    patience: int | None = None
    ema: float = 0.0
    precision: Precision = "float32"
    channels_last: bool | Literal["auto"] = "auto"
    compile: bool = False
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or not 1 <= self.accumulate <= self.batch_size:
            raise SettingError(
                "epochs and batch_size are at least 1, accumulate at least 1 and at most batch_size, got "
                f"epochs={self.epochs!r}, batch_size={self.batch_size!r}, accumulate={self.accumulate!r}"
            )
        if not 0.0 <= self.warmup < 1.0 or (self.clip is not None and self.clip <= 0.0) or self.l1 < 0.0:
            raise SettingError(
                "warmup is a share from 0 to below 1, clip positive or None, l1 not negative, got "
                f"warmup={self.warmup!r}, clip={self.clip!r}, l1={self.l1!r}"
            )
        if self.patience is not None and self.patience < 1:
            raise SettingError(f"patience is a number of epochs, at least 1, or None, got {self.patience!r}")
        if not 0.0 <= self.ema < 1.0:
            raise SettingError(f"ema is a share from 0 (no average) to below 1, such as 0.99, got {self.ema!r}")
        if self.precision not in get_args(Precision) or self.schedule not in SCHEDULES:
            raise SettingError(
                f"precision is one of {', '.join(get_args(Precision))} and schedule one of {', '.join(SCHEDULES)}, "
                f"got {self.precision!r} and {self.schedule!r}"
            )
