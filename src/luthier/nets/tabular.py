"""Tables: a multilayer perceptron on numbers and on embeddings of categories (Guo & Berkhahn 2016)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from luthier.nets.init import initialize
from luthier.nets.mlp import MLP
from luthier.nets.periodic import Periodic

_WAVES = 1024  # most numbers that come out of periodic embeddings


class TabularNet(nn.Module):  # type: ignore[misc] # torch has no types here
    """Look the categories up, put them beside the numbers, and run an MLP.

    Parameters
    ----------
    numbers
        Numeric columns; scaled ones, see `luthier.training.scaling`.
    categories
        For each other column, how many categories it has; category 0 stands for missing and unknown.
    outputs
        Classes, or targets of a regression.
    embedding
        Factor on the sizes of the embeddings; at 1 a column of k categories gets ``round(1.6 k ** 0.56)`` numbers, at
        most 64 (fastai's rule).
    depth, width, activation, norm, norm_place, norm_momentum, residual, init
        See `luthier.nets.MLP`.
    dropout
        Share dropped, of the embeddings and of the hidden units.
    periodic
        Numbers that each numeric column gets beside itself (`luthier.nets.periodic.Periodic`); 0 for none. Fewer where
        there are many columns: at most 1,024 in all.
    spread
        Of the frequencies, see there.

    Examples
    --------
    >>> import torch
    >>> net = TabularNet(2, [5, 12], 3, width=16)
    >>> net(torch.zeros(4, 2), torch.zeros(4, 2, dtype=torch.long)).shape
    torch.Size([4, 3])
    """

    def __init__(
        self,
        numbers: int,
        categories: Sequence[int],
        outputs: int,
        *,
        embedding: float = 1.0,
        depth: int = 2,
        width: int = 128,
        activation: str = "relu",
        norm: str = "none",
        norm_place: str = "before",
        norm_momentum: float = 0.1,
        dropout: float = 0.0,
        residual: bool = False,
        init: str = "he",
        periodic: int = 0,
        spread: float = 0.1,
    ) -> None:
        super().__init__()
        sizes = [min(max(round(embedding * 1.6 * k**0.56), 1), 64) for k in categories]
        self.tables = nn.ModuleList(nn.Embedding(k, size) for k, size in zip(categories, sizes, strict=True))
        self.drop = nn.Dropout(dropout)
        size = min(periodic, _WAVES // max(numbers, 1))
        self.waves = Periodic(numbers, size=size, spread=spread) if size and numbers else None
        wide = numbers if self.waves is None else self.waves.width
        self.mlp = MLP(
            wide + sum(sizes), outputs, depth=depth, width=width, activation=activation, norm=norm,
            norm_place=norm_place, norm_momentum=norm_momentum, dropout=dropout, residual=residual, init=init,
        )  # fmt: skip
        initialize(self.tables, init)
        if self.waves is not None:
            initialize(self.waves.mix, "he")

    def forward(self, numbers: Tensor, codes: Tensor | None = None) -> Tensor:
        """Predict.

        Parameters
        ----------
        numbers : (B, numbers) float tensor
        codes : (B, len(categories)) int tensor, optional
            May be left out where there are no categories.

        Returns
        -------
        (B, outputs) float tensor
        """
        if self.waves is not None:
            numbers = self.waves(numbers)
        if codes is None or not len(self.tables):
            return self.mlp(numbers)
        looked = [table(code) for table, code in zip(self.tables, codes.unbind(1), strict=True)]  # (B, size) each
        return self.mlp(torch.cat([numbers, self.drop(torch.cat(looked, 1))], 1))
