"""The multilayer perceptron: linear layers with activations between them."""

from __future__ import annotations

from torch import Tensor, nn

from luthier.nets.init import initialize
from luthier.nets.norm import needs_bias, normalized


class MLP(nn.Module):  # type: ignore[misc] # torch has no types here
    """A stack of equally wide hidden layers.

    Parameters
    ----------
    inputs, outputs
        Sizes at both ends; inputs of more than two axes are flattened.
    depth
        Hidden layers; 0 is (multinomial) linear regression.
    width
        Units of each.
    activation, norm, norm_place, norm_momentum
        See `luthier.nets.norm.normalized`.
    dropout
        Share of hidden units dropped in training.
    residual
        Add the input of each hidden layer but the first to its output.
    init
        See `luthier.nets.init.initialize`.

    Examples
    --------
    >>> import torch
    >>> MLP(784, 10, depth=3, width=64)(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        depth: int = 2,
        width: int = 128,
        activation: str = "relu",
        norm: str = "none",
        norm_place: str = "before",
        norm_momentum: float = 0.1,
        dropout: float = 0.0,
        residual: bool = False,
        init: str = "he",
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        size = inputs
        for place in range(depth):
            layer = nn.Sequential(
                nn.Linear(size, width, bias=needs_bias(norm, norm_place)),
                *normalized(
                    width, 0, activation=activation, norm=norm, norm_place=norm_place, norm_momentum=norm_momentum
                ),
                *([nn.Dropout(dropout)] if dropout else []),
            )
            layers.append(Added(layer) if residual and place else layer)
            size = width
        self.layers = nn.Sequential(*layers, nn.Linear(size, outputs))
        initialize(self, init)

    def forward(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, outputs)
        return self.layers(x)


class Added(nn.Module):  # type: ignore[misc] # torch has no types here
    """Add the input of a layer to its output."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:  # (B, width) -> (B, width)
        return x + self.layer(x)
