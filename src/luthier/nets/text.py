"""Text classifiers on tokens: averaged embeddings, a GRU, or a small Transformer.

Token 0 is padding and stands at the end of a text. Padding never changes what a text gives (a test holds this), so
texts of different lengths can share a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from luthier.errors import SettingError, did_you_mean
from luthier.nets.attention import Embedded, Layer, visible
from luthier.nets.init import initialize
from luthier.nets.mlp import MLP

KINDS = ("pool", "gru", "transformer")


class TextNet(nn.Module):  # type: ignore[misc] # torch has no types here
    """Embed the tokens, let them exchange something, average and take the maximum over the text, classify.

    Parameters
    ----------
    vocabulary
        Number of tokens, padding included.
    classes
        Outputs.
    kind
        ``"pool"``: tokens exchange nothing, a multilayer perceptron follows the pooling (fastText, DAN); ``"gru"``: a
        recurrent network in both directions; ``"transformer"``: everyone looks at everyone.
    embedding
        Size of a token's vector.
    width
        Size of the vectors inside.
    depth
        Layers of the kind; of the perceptron for ``"pool"``.
    heads
        Of the Transformer; divides the width.
    length
        Most tokens of a text, for the Transformer's positions.
    dropout
        Share dropped, after the embedding and between layers.
    init
        See `luthier.nets.init.initialize`.

    Raises
    ------
    SettingError
        If the kind is unknown.

    Examples
    --------
    >>> import torch
    >>> TextNet(100, 2, kind="gru", width=16)(torch.tensor([[5, 7, 9], [3, 0, 0]])).shape
    torch.Size([2, 2])
    """

    def __init__(
        self,
        vocabulary: int,
        classes: int,
        *,
        kind: str = "pool",
        embedding: int = 64,
        width: int = 64,
        depth: int = 1,
        heads: int = 4,
        length: int = 512,
        dropout: float = 0.0,
        init: str = "xavier",
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise SettingError(f"no kind {kind!r}{did_you_mean(kind, KINDS)}: use {', '.join(KINDS)}")
        positions = length if kind == "transformer" else 0
        inner = width if kind == "transformer" else embedding
        self.embed = Embedded(vocabulary, embedding, inner, length=positions, dropout=dropout)
        self.exchange: nn.Module = nn.Identity()
        head: nn.Module
        if kind == "pool":
            head = MLP(2 * embedding, classes, depth=depth, width=width, dropout=dropout)
        else:
            self.exchange = (
                _Gru(embedding, width, depth, dropout) if kind == "gru" else _Layers(width, heads, depth, dropout)
            )
            head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * width, classes))
        self.head = head
        initialize(self, init)

    def forward(self, tokens: Tensor) -> Tensor:  # (B, T) -> (B, classes)
        tokens = trimmed(tokens)
        seen = visible(tokens)  # (B, T)
        x = self.embed(tokens)  # (B, T, inner)
        if not isinstance(self.exchange, nn.Identity):
            x = self.exchange(x, seen)  # (B, T, width)
        hidden = ~seen[..., None]
        mean = x.masked_fill(hidden, 0.0).sum(1) / seen.sum(1, keepdim=True)
        most = x.masked_fill(hidden, torch.finfo(x.dtype).min).amax(1)
        return self.head(torch.cat([mean, most], 1))


class _Gru(nn.Module):  # type: ignore[misc] # torch has no types here
    """A GRU in both directions; the backward one starts at the last token, not at the padding."""

    def __init__(self, embedding: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        if width % 2:
            raise SettingError(f"a GRU in both directions needs an even width, got {width}")
        between = dropout if depth > 1 else 0.0
        self.gru = nn.GRU(
            embedding, width // 2, num_layers=depth, batch_first=True, bidirectional=True, dropout=between
        )

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:  # (B, T, E) -> (B, T, W)
        packed = nn.utils.rnn.pack_padded_sequence(x, _lengths(seen).cpu(), batch_first=True, enforce_sorted=False)
        states, _ = nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=x.shape[1])
        return states


class _Layers(nn.Module):  # type: ignore[misc] # torch has no types here
    """Layers of a Transformer."""

    def __init__(self, width: int, heads: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(width, heads, dropout=dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:  # (B, T, W) -> (B, T, W)
        for layer in self.layers:
            x = layer(x, seen[:, None, None, :])
        return self.norm(x)


def _lengths(seen: Tensor) -> Tensor:
    """Places up to the last token of each text, (B,); tokens dropped to padding inside count."""
    places = torch.arange(1, seen.shape[1] + 1, device=seen.device)
    return (seen * places).amax(1)


def trimmed(tokens: Tensor) -> Tensor:
    """Cut the columns off the end that are padding in every text of the batch: nothing is computed for them.

    Parameters
    ----------
    tokens : (B, T) int tensor

    Returns
    -------
    (B, t) int tensor
        ``1 <= t <= T``.
    """
    longest = int(_lengths(visible(tokens)).max())
    return tokens[:, :longest]
