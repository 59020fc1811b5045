"""The Transformer's parts (Vaswani et al. 2017), normalized before each part: attention, and a layer made of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from luthier.errors import SettingError


class Attention(nn.Module):  # type: ignore[misc] # torch has no types here
    """Every position of `x` looks at the positions of `memory` that it may see.

    Parameters
    ----------
    width
        Size of a position's vector.
    heads
        How many looks in parallel, each of ``width // heads`` numbers; divides the width.
    dropout
        Share of the looks dropped in training.

    Raises
    ------
    SettingError
        If the heads do not divide the width.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise SettingError(f"heads divide the width, got width={width}, heads={heads}: use {width - width % heads}")
        self.heads, self.dropout = heads, dropout
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, memory: Tensor, seen: Tensor) -> Tensor:
        """Look.

        Parameters
        ----------
        x : (B, T, W) float tensor
            Who looks.
        memory : (B, S, W) float tensor
            What is looked at.
        seen : (B or 1, 1, T or 1, S) bool tensor
            What may be seen; everyone must see something.

        Returns
        -------
        (B, T, W) float tensor
        """
        q, k, v = (  # (B, heads, T or S, W / heads)
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query(x), self.key(memory), self.value(memory))
        )
        drop = self.dropout if self.training else 0.0
        looked = functional.scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=drop)
        return self.out(looked.transpose(1, 2).flatten(-2))


class Layer(nn.Module):  # type: ignore[misc] # torch has no types here
    """Look at oneself, look at another sequence (where there is one), think; each added to what was there.

    Parameters
    ----------
    width, heads, dropout
        See `Attention`.
    cross
        Whether there is another sequence to look at.
    """

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0, cross: bool = False) -> None:
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.norm_self, self.look_self = nn.LayerNorm(width), Attention(width, heads, dropout)
        if cross:
            self.norm_cross, self.look_cross = nn.LayerNorm(width), Attention(width, heads, dropout)
        self.norm_think = nn.LayerNorm(width)
        self.think = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(
        self, x: Tensor, seen: Tensor, memory: Tensor | None = None, memory_seen: Tensor | None = None
    ) -> Tensor:  # (B, T, W) -> (B, T, W)
        y = self.norm_self(x)
        x = x + self.drop(self.look_self(y, y, seen))
        if memory is not None:
            x = x + self.drop(self.look_cross(self.norm_cross(x), memory, memory_seen))
        return x + self.drop(self.think(self.norm_think(x)))


class Embedded(nn.Module):  # type: ignore[misc] # torch has no types here
    """Tokens as vectors: a table of embeddings, their projection to the width, and positions.

    Parameters
    ----------
    vocabulary
        Number of tokens; token 0 is padding.
    embedding, width
        Size of a token's vector in the table and afterwards.
    length
        Most positions; 0 for a network that knows the order by itself.
    dropout
        Share of the numbers dropped in training.
    """

    def __init__(self, vocabulary: int, embedding: int, width: int, *, length: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.length = length
        self.tokens = nn.Embedding(vocabulary, embedding, padding_idx=0)
        self.project = nn.Identity() if embedding == width else nn.Linear(embedding, width, bias=False)
        if length:
            self.positions = nn.Embedding(length, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:  # (B, T) -> (B, T, width)
        x = self.project(self.tokens(tokens))
        if self.length:
            if tokens.shape[1] > self.length:
                raise SettingError(f"{tokens.shape[1]} tokens, but the network was made for length={self.length}")
            x = x + self.positions(torch.arange(tokens.shape[1], device=tokens.device))
        return self.drop(x)


def visible(tokens: Tensor) -> Tensor:
    """Say which tokens are no padding; the first one always counts, so that an empty text is still something.

    Parameters
    ----------
    tokens : (B, T) int tensor

    Returns
    -------
    (B, T) bool tensor
    """
    seen = tokens != 0
    seen[:, 0] = True
    return seen
