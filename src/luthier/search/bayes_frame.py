"""How a space looks to the Gaussian process: codes of configurations to coordinates and effects, and back-derivatives.

Coordinates carry the Matern distance: a number is its place between its bounds, a category is one-hot (all categories
are equally far apart), and a parameter with a condition lies on an arc around the point where it is inactive, so that
two inactive ones coincide and every active value is equally far from inactive (Swersky et al. 2014, "Raiders of the
lost architecture").

Effects carry the main effects: slope and bowl of a number (Legendre polynomials of degrees 1 and 2), level of a
category, nothing where inactive. Parameters that are alike (same values: the width of each layer, the operation on each
edge) also share a group of effects, the sum over them, so that what one layer teaches helps the others.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.maths.gp import Shape
from luthier.parameter import Parameter
from luthier.space import Array, Space

_BOWL = 0.05  # expected curvature of the loss along a number, in standard deviations of the loss
_BOWL_OF_RATE = 0.3  # and along a learning rate: too low does not learn, too high diverges
_RATE = re.compile(r"(.*[-_. ])?(lr|learning[-_ ]?rate)([-_. ]?(init|base|max|peak|[0-9]+))?")
_RADIUS = 0.5  # of the arc, in units of the parameter's range
_FEW = 20  # a finite parameter of more values is relaxed to a real number while the acquisition is refined


class Frame:
    """Coordinates and effects of the configurations of one space.

    Parameters
    ----------
    space : Space

    Attributes
    ----------
    shape : Shape
        Groups of the coordinates (one per column of the space) and of the effects (one per column, one per family).
    bowled : Shape
        The same for losses, which are expected to be bowls rather than hills.
    relaxed : (d,) bool array
        Columns that can be moved continuously.
    finite : bool
        Whether no column can take infinitely many values.
    ordered : (d,) bool array
        Columns with an order: all but categories.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        given = list(space.parameters.values())
        d = self.d = len(given)
        self._numeric = np.array([i for i, p in enumerate(given) if p.kind != "choice"], dtype=np.intp)
        self._choices = [(i, int(p.size)) for i, p in enumerate(given) if p.kind == "choice"]
        ends = [_ends(given[i]) for i in self._numeric]
        self._low = np.array([low for low, _ in ends])
        self._gain = np.array([1.0 / (high - low) if high > low else 0.0 for low, high in ends])
        self._single = 0.5 * (self._gain == 0.0)
        bent = np.array([given[i].when is not None for i in self._numeric], dtype=bool)
        self._straight, self._bent = np.flatnonzero(~bent), np.flatnonzero(bent)
        self._flat = all(p.when is None for p in given)
        self.finite = all(not math.isinf(p.size) for p in given)
        self.relaxed = np.array([p.kind != "choice" and p.size > _FEW for p in given], dtype=bool)
        self.ordered = np.array([p.kind != "choice" for p in given], dtype=bool)
        self._cells = [np.empty(0) if free else _codes(p) for p, free in zip(given, self.relaxed, strict=True)]
        levels = [np.full(k, i) for i, k in self._choices]
        bends = self._numeric[self._bent]
        coordinate_groups = np.concatenate([self._numeric[self._straight], bends, bends, *levels])
        base_groups = np.concatenate([self._numeric, self._numeric, *levels])
        self._families = _families(given, base_groups)  # (f, s)
        family_groups = [np.full(count, d + i) for i, count in enumerate(self._families_sizes(given, base_groups))]
        self.shape = Shape(
            coordinate_groups.astype(np.intp),
            np.concatenate([base_groups, *family_groups]).astype(np.intp),
            d,
            d + len(family_groups),
            np.zeros(len(base_groups) + sum(map(len, family_groups))),
        )
        self.bowled = replace(self.shape, expected=self._bowls(given))

    @staticmethod
    def _families_sizes(given: list[Parameter], groups: NDArray[Any]) -> list[int]:
        return [int((groups == members[0]).sum()) for members in _alike(given)]

    def _bowls(self, given: list[Parameter]) -> Array:
        """Prior means of the effects of a loss."""
        expected = np.zeros(len(self.shape.effect_groups))
        rates = [_is_rate(self.space.columns[i], given[i]) for i in self._numeric]
        k = len(self._numeric)
        expected[k : 2 * k] = math.sqrt(self.d) * np.where(rates, _BOWL_OF_RATE, _BOWL)
        return expected

    def embed(self, x: Array) -> tuple[Array, Array]:
        """Coordinates, (n, m), and effects, (n, f), of codes, (n, d), with NaN where inactive."""
        place = self._place(x)
        n, k = place.shape
        coordinates = np.empty((n, len(self.shape.coordinate_groups)))
        effects = np.empty((n, len(self.shape.effect_groups)))
        s, b = len(self._straight), len(self._bent)
        coordinates[:, :s] = place[:, self._straight] if b else place
        if b:
            angle = (place[:, self._bent] - 0.5) / _RADIUS
            coordinates[:, s : s + b] = _RADIUS * np.sin(angle)
            coordinates[:, s + b : s + 2 * b] = _RADIUS * np.cos(angle)
        t = 2.0 * place - 1.0
        effects[:, :k] = t * math.sqrt(3.0 / self.d)
        effects[:, k : 2 * k] = (1.5 * t * t - 0.5) * math.sqrt(5.0 / self.d)
        if not self._flat:
            coordinates[np.isnan(coordinates)] = 0.0
            effects[np.isnan(effects)] = 0.0
        at, effect = s + 2 * b, 2 * k
        for column, size in self._choices:
            level = _level(x[:, column], size)
            coordinates[:, at : at + size] = level * math.sqrt(0.5)
            share = level.sum(axis=1, keepdims=True) / size  # nothing where inactive
            effects[:, effect : effect + size] = (level - share) * math.sqrt(size / self.d)
            at, effect = at + size, effect + size
        if effects.shape[1] > effect:
            effects[:, effect:] = effects[:, :effect] @ self._families
        return coordinates, effects

    def _place(self, x: Array) -> Array:
        """Numbers, (n, k), as places between their lowest and highest value; the middle if there is one value."""
        return np.asarray((x[:, self._numeric] - self._low) * self._gain + self._single)

    def pull(self, gradient: Array, x: Array) -> Array:
        """Turn gradients by coordinates and effects, (n, m + f), into gradients by the codes, (n, d).

        Columns that are inactive or categories get zero.
        """
        place = self._place(x)
        k, s, b = len(self._numeric), len(self._straight), len(self._bent)
        effects = gradient[:, len(self.shape.coordinate_groups) :]
        single = effects[:, : len(self._families)]
        if self._families.shape[1]:
            single = single + effects[:, len(self._families) :] @ self._families.T
        total = single[:, :k] * (2.0 * math.sqrt(3.0 / self.d))
        total += single[:, k : 2 * k] * (6.0 * math.sqrt(5.0 / self.d)) * (2.0 * place - 1.0)
        total[:, self._straight] += gradient[:, :s]
        if b:
            angle = (place[:, self._bent] - 0.5) / _RADIUS
            total[:, self._bent] += (
                np.cos(angle) * gradient[:, s : s + b] - np.sin(angle) * gradient[:, s + b : s + 2 * b]
            )
        codes = np.zeros(x.shape)
        codes[:, self._numeric] = total * self._gain
        if not self._flat:
            codes[np.isnan(codes)] = 0.0
        return codes

    def neighbors(self, x: Array) -> Array:
        """Take every single step of the columns that are not relaxed.

        A category steps to each of its values, an ordered column to the next ones. A parameter that becomes active
        starts at its middle.

        Parameters
        ----------
        x : (n, d) float array
            Codes of configurations.

        Returns
        -------
        (n, moves, d) float array
            Codes of configurations; where a step leads nowhere, it is the configuration itself.
        """
        targets = [(i, self._targets(x[:, i], i)) for i, cells in enumerate(self._cells) if len(cells)]
        near = np.repeat(x[:, None], sum(codes.shape[1] for _, codes in targets), axis=1)
        first = 0
        for column, codes in targets:
            near[:, first : first + codes.shape[1], column] = codes
            first += codes.shape[1]
        if self._flat:
            return near
        return self.space.snap(np.nan_to_num(near, nan=0.5).reshape(-1, self.d)).reshape(near.shape)

    def _targets(self, code: Array, column: int) -> Array:
        """Codes that a column steps to, (n, k)."""
        cells = self._cells[column]
        if not self.ordered[column]:
            return np.tile(cells, (len(code), 1))
        index = np.searchsorted(cells, np.nan_to_num(code, nan=0.5) - 1e-9)
        return np.stack([cells[np.clip(index + step, 0, len(cells) - 1)] for step in (-1, 1)], axis=1)


def _level(code: Array, size: int) -> Array:
    """One-hot levels, (n, size), of a category's codes; zeros where inactive."""
    with np.errstate(invalid="ignore"):
        index = np.where(np.isnan(code), -1.0, np.minimum(np.floor(code * size), size - 1))
    return np.asarray(index[:, None] == np.arange(size), dtype=np.float64)


def _is_rate(name: str, parameter: Parameter) -> bool:
    """Tell whether a parameter is a learning rate, searched over magnitudes."""
    linear = parameter.kind in ("float", "int") and not getattr(parameter, "log", False)
    return not linear and _RATE.fullmatch(name.lower()) is not None


def _ends(parameter: Parameter) -> tuple[float, float]:
    """Codes of a number's lowest and highest value."""
    if math.isinf(parameter.size):
        return 0.0, 1.0
    codes = parameter.snap(np.array([0.0, 1.0]))
    return float(codes[0]), float(codes[1])


def _codes(parameter: Parameter) -> Array:
    """All codes of a parameter that takes few values, and of any category."""
    return np.array([parameter.to_unit(value) for value in parameter.values()])


def _alike(given: list[Parameter]) -> list[list[int]]:
    """Columns, by family, of parameters that can take the same values on the same scale; families of two or more."""
    families: dict[tuple[Any, ...], list[int]] = {}
    for i, p in enumerate(given):
        values = tuple(getattr(p, name, None) for name in ("low", "high", "log", "step", "pow2"))
        key = (type(p), values, repr(getattr(p, "options", None)))
        families.setdefault(key, []).append(i)
    return [members for members in families.values() if len(members) > 1]


def _families(given: list[Parameter], groups: NDArray[Any]) -> Array:
    """Matrix, (f, s), from the effects of single parameters to those that alike parameters share."""
    columns = []
    for members in _alike(given):
        where = np.array([np.flatnonzero(groups == i) for i in members])  # (members, effects of each)
        for effect in where.T:
            column = np.zeros(len(groups))
            column[effect] = 1.0 / math.sqrt(len(members))
            columns.append(column)
    return np.array(columns).T.reshape(len(groups), len(columns))
