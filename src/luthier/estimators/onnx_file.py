"""Models as ONNX files: from encoded inputs to probabilities or numbers, to be run without PyTorch.

What happens before (cutting texts into tokens, columns into numbers and codes) is described in the file's metadata as
the encoder's state, in JSON. Two things cannot be said in ONNX as PyTorch does them: the Fourier transform of log-mel
features, which becomes a convolution with sines and cosines, and the normal scores of the quantile scaling, which
become a rational approximation (relative error below 1.2e-9).
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from luthier.durable import write_whole
from luthier.errors import MissingExtra, SettingError
from luthier.estimators.network import Network, SoundFront, TableFront
from luthier.estimators.saved import SavedModel
from luthier.estimators.targets import ClassTargets, NumberTargets
from luthier.nets import LogMel

OPSET = 18


def export(model: SavedModel, path: str | os.PathLike[str]) -> Path:
    """Write an ONNX file of a model.

    Inputs are ``x`` (images (n, C, H, W) in [0, 1]; tokens (n, T); waves (n, samples); numbers (n, d), NaN is missing)
    and, for tables with categories, ``codes`` (n, m); the number of rows is free. The output is ``probabilities``
    (n, C), in the order of the classes in the metadata, or ``prediction`` (n,).

    Parameters
    ----------
    model
        Of classes or numbers.
    path
        Of the file.

    Raises
    ------
    MissingExtra
        If onnx and onnxscript are not installed.
    SettingError
        If the model writes texts: that is a loop, not one pass.
    """
    if not isinstance(model.targets, (ClassTargets, NumberTargets)):
        raise SettingError("a model that writes texts runs in a loop and cannot be one ONNX graph: use model.predict")
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError:
        raise MissingExtra("onnx and onnxscript", "onnx") from None
    whole = Exported(model).eval()
    example = model.encoder.example(2)
    inputs = example if isinstance(example, tuple) else (example,)
    names = ["x", "codes"][: len(inputs)]
    output = "probabilities" if isinstance(model.targets, ClassTargets) else "prediction"
    rows = torch.export.Dim("rows", min=1)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            whole, inputs, dynamo=True, input_names=names, output_names=[output], opset_version=OPSET, verbose=False,
            dynamic_shapes=(tuple({0: rows} for _ in inputs),),
        )  # fmt: skip
    proto = program.model_proto
    onnx.helper.set_model_props(proto, described(model))
    return write_whole(Path(path), proto.SerializeToString())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own warnings, of code that is not ours, from the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def described(model: SavedModel) -> dict[str, str]:
    """Return what a reader of the file has to know, as JSON by name."""
    labels = [str(label) for label in model.classes] if model.classes is not None else None
    said = {"task": model.task, "classes": labels, "encoder": model.encoder.state(), "targets": model.targets.state()}
    return {name: json.dumps(value, ensure_ascii=False) for name, value in said.items()}


class Exported(nn.Module):  # type: ignore[misc] # torch has no types here
    """Encoded inputs to probabilities or numbers in the units of the user, in operations that ONNX has.

    Parameters
    ----------
    model
        Of classes or numbers.
    """

    def __init__(self, model: SavedModel) -> None:
        super().__init__()
        self.members = nn.ModuleList(_plain(member) for member in model.members)
        self.weights, self.temperature = list(model.weights), model.temperature
        self.targets = model.targets

    def forward(self, *x: Any) -> Tensor:
        """Return the output of a batch."""
        x = x[0] if len(x) == 1 and isinstance(x[0], tuple) else x
        outputs = [member(*x) for member in self.members]
        if isinstance(self.targets, NumberTargets):
            mixed = sum(w * out for w, out in zip(self.weights, outputs, strict=True))
            return self._units(mixed)
        mixed = sum(w * out.softmax(-1) for w, out in zip(self.weights, outputs, strict=True))
        if self.temperature == 1.0:
            return mixed
        return (mixed.clamp(min=1e-30).log() / self.temperature).softmax(-1)

    def _units(self, scaled: Any) -> Tensor:
        targets = self.targets
        assert isinstance(targets, NumberTargets)
        y = scaled * targets.width + targets.middle
        if targets.logarithm:
            y = y.clamp(max=math.log(targets.high)).exp()
        return y.clamp(targets.low, targets.high)


def _plain(member: Network) -> nn.Module:
    """Put operations that ONNX has in the place of others."""
    import copy

    network = copy.deepcopy(member).float().cpu().eval()
    if isinstance(network.front, SoundFront):
        network.front.mel = WaveMel(network.front.mel)
    elif isinstance(network.front, TableFront):
        network.front = PlainTable(network.front)
    return network


class WaveMel(nn.Module):  # type: ignore[misc]
    """`luthier.nets.LogMel` with the Fourier transform as a convolution.

    Parameters
    ----------
    mel
        To do the same as.
    """

    def __init__(self, mel: LogMel) -> None:
        super().__init__()
        self.hop, self.pad = mel.hop, mel.fft // 2
        taper = torch.zeros(mel.fft, dtype=torch.float64)
        start = (mel.fft - mel.window) // 2
        taper[start : start + mel.window] = mel.taper.double()
        places = torch.arange(mel.fft, dtype=torch.float64)
        angles = 2.0 * math.pi * places[None] * torch.arange(1 + mel.fft // 2)[:, None] / mel.fft
        waves = torch.cat([angles.cos() * taper, -angles.sin() * taper])  # (2 frequencies, fft)
        self.register_buffer("waves", waves.float()[:, None])
        self.register_buffer("bank", mel.bank)

    def forward(self, wave: Tensor) -> Tensor:  # (B, samples) -> (B, mels, frames)
        spectrum = functional.conv1d(functional.pad(wave, (self.pad, self.pad))[:, None], self.waves, stride=self.hop)
        real, imaginary = spectrum.chunk(2, 1)
        return (self.bank @ (real.square() + imaginary.square()) + 1e-6).log()


class PlainTable(nn.Module):  # type: ignore[misc]
    """`TableFront` in comparisons and sums.

    Parameters
    ----------
    front
        To do the same as.
    """

    def __init__(self, front: TableFront) -> None:
        super().__init__()
        self.kind = front.kind
        for name in front.names:
            self.register_buffer(name, getattr(front, name).double())
        self.register_buffer("highest", front.highest)

    def forward(self, numbers: Tensor, codes: Tensor | None = None) -> Any:  # (B, d), (B, m)
        missing = numbers.isnan()
        known = torch.where(missing, torch.zeros_like(numbers), numbers).double()
        if self.kind == "none":
            scaled = known
        elif self.kind == "quantile":
            scaled = self._normal(known)
        else:
            scaled = (known - self.center) / self.width
        scaled = torch.where(missing, torch.zeros_like(scaled), scaled).float()
        return scaled if codes is None else (scaled, torch.where(codes <= self.highest, codes, torch.zeros_like(codes)))

    def _normal(self, x: Tensor) -> Tensor:
        """Normal scores of quantiles; see `luthier.training.scaling`."""
        edge = 0.5 / len(self.shares)
        table = self.table.T.contiguous()  # (d, q)
        ahead = _interpolated(x, table, self.shares)
        back = -_interpolated(-x, -table.flip(1), -self.shares.flip(0))
        scores = normal_score((0.5 * (ahead + back)).clamp(edge, 1.0 - edge))
        return torch.where(table[:, -1] > table[:, 0], scores, torch.zeros_like(scores))


def _interpolated(x: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    """Interpolate each column, (B, d), between its own places (d, q) and values (q,)."""
    right = (x[:, :, None] >= xs[None]).sum(-1).clamp(1, xs.shape[1] - 1)  # (B, d)
    columns = torch.arange(xs.shape[0])[None].expand(right.shape)
    low, high = xs[columns, right - 1], xs[columns, right]
    width = high - low
    share = torch.where(width > 0.0, (x - low) / width.clamp(min=1e-300), torch.ones_like(x)).clamp(0.0, 1.0)
    return ys[right - 1] + share * (ys[right] - ys[right - 1])


def normal_score(p: Tensor) -> Tensor:
    """Return where the normal distribution reaches a share, by Acklam's rational approximation; p in (0, 1)."""
    a = (-3.969683028665376e01, 2.209460984245205e02, -2.759285104469687e02, 1.383577518672690e02,
         -3.066479806614716e01, 2.506628277459239e00)  # fmt: skip
    b = (-5.447609879822406e01, 1.615858368580409e02, -1.556989798598866e02, 6.680131188771972e01,
         -1.328068155288572e01, 1.0)  # fmt: skip
    c = (-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e00, -2.549732539343734e00,
         4.374664141464968e00, 2.938163982698783e00)  # fmt: skip
    d = (7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e00, 3.754408661907416e00, 1.0)
    tail = 0.02425
    nearer = torch.minimum(p, 1.0 - p)
    q = (-2.0 * nearer.clamp(min=1e-300).log()).sqrt()
    outside = _polynomial(c, q) / _polynomial(d, q) * torch.where(p < 0.5, 1.0, -1.0)
    r = p - 0.5
    middle = r * _polynomial(a, r * r) / _polynomial(b, r * r)
    return torch.where(nearer < tail, outside, middle)


def _polynomial(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    """Horner's scheme, the highest power first."""
    total = torch.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total
