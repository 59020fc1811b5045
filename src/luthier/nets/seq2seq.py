"""Encoder and decoder with attention (a Transformer): one sequence of tokens in, another one out.

Token 0 is padding, 1 begins a sequence, 2 ends it, 3 stands for the unknown.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from luthier.nets.attention import Embedded, Layer, visible
from luthier.nets.init import initialize
from luthier.nets.text import trimmed

BEGIN, END, UNKNOWN = 1, 2, 3


class Seq2Seq(nn.Module):  # type: ignore[misc] # torch has no types here
    """Read the source, then write the target token by token while looking at the source.

    Parameters
    ----------
    source, target
        Sizes of the two vocabularies.
    depth
        Layers of the encoder, and as many of the decoder.
    heads
        Looks in parallel; divides the width.
    width
        Size of the vectors inside.
    embedding
        Size of a token's vector in the tables.
    length
        Most tokens of a sequence.
    dropout
        Share dropped in training.
    init
        See `luthier.nets.init.initialize`.

    Examples
    --------
    >>> import torch
    >>> net = Seq2Seq(20, 30, width=16, heads=2).eval()
    >>> net(torch.tensor([[5, 6, 2]]), torch.tensor([[1, 9]])).shape
    torch.Size([1, 2, 30])
    >>> net.write(torch.tensor([[5, 6, 2]]), 4).shape
    torch.Size([1, 4])
    """

    def __init__(
        self,
        source: int,
        target: int,
        *,
        depth: int = 2,
        heads: int = 4,
        width: int = 64,
        embedding: int = 64,
        length: int = 256,
        dropout: float = 0.0,
        init: str = "xavier",
    ) -> None:
        super().__init__()
        self.read_tokens = Embedded(source, embedding, width, length=length, dropout=dropout)
        self.write_tokens = Embedded(target, embedding, width, length=length, dropout=dropout)
        self.encoder = nn.ModuleList(Layer(width, heads, dropout=dropout) for _ in range(depth))
        self.decoder = nn.ModuleList(Layer(width, heads, dropout=dropout, cross=True) for _ in range(depth))
        self.encoded, self.decoded = nn.LayerNorm(width), nn.LayerNorm(width)
        self.out = nn.Linear(width, target)
        initialize(self, init)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Score the next token at every place of the target.

        Parameters
        ----------
        source : (B, S) int tensor
        target : (B, T) int tensor
            From `BEGIN` on, without the last token.

        Returns
        -------
        (B, T, vocabulary) float tensor
            Logits of the token that follows each place.
        """
        source = trimmed(source)
        return self._decode(target, *self._encode(source))

    def write(self, source: Tensor, length: int) -> Tensor:
        """Write up to `length` tokens, the likeliest each time (greedy); 0 after `END`.

        Parameters
        ----------
        source : (B, S) int tensor
        length
            Most tokens to write.

        Returns
        -------
        (B, length) int tensor
            Without `BEGIN`.
        """
        with torch.no_grad():
            memory, seen = self._encode(trimmed(source))
            written = source.new_full((len(source), 1), BEGIN)
            over = torch.zeros(len(source), dtype=torch.bool, device=source.device)
            for _ in range(length):
                token = self._decode(written, memory, seen)[:, -1].argmax(-1).masked_fill(over, 0)  # (B,)
                over |= token == END
                written = torch.cat([written, token[:, None]], 1)
                if bool(over.all()):
                    break
        return functional.pad(written[:, 1:], (0, length + 1 - written.shape[1]))

    def _encode(self, source: Tensor) -> tuple[Tensor, Tensor]:  # (B, S) -> (B, S, W), (B, 1, 1, S)
        seen = visible(source)[:, None, None, :]
        x = self.read_tokens(source)
        for layer in self.encoder:
            x = layer(x, seen)
        return self.encoded(x), seen

    def _decode(self, target: Tensor, memory: Tensor, seen: Tensor) -> Tensor:  # (B, T) -> (B, T, vocabulary)
        places = torch.arange(target.shape[1], device=target.device)
        earlier = (places[:, None] >= places)[None, None]  # (1, 1, T, T): padding comes last, so nobody looks at it
        x = self.write_tokens(target)
        for layer in self.decoder:
            x = layer(x, earlier, memory, seen)
        return self.out(self.decoded(x))


def shifted(target: Tensor) -> Tensor:
    """Return what the decoder reads while it writes a target: `BEGIN`, and all of it but the last token.

    Parameters
    ----------
    target : (B, T) int tensor
        Without `BEGIN`, ended by `END`, as `Seq2Seq.write` returns it.

    Returns
    -------
    (B, T) int tensor
    """
    return functional.pad(target[:, :-1], (1, 0), value=BEGIN)
