"""The search space: named parameters, conditions between them and forbidden combinations.

Outside, a configuration is a plain dict of Python values. Inside, it is a row of the unit cube, one column for each
parameter that is not a constant, with NaN where a parameter is inactive. Only this class converts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from luthier.condition import Condition
from luthier.errors import ConfigError, SpaceError, did_you_mean
from luthier.notation import plural, written
from luthier.parameter import Parameter, plain, tupled

Array = NDArray[np.float64]
Config = dict[str, Any]

_DRAWS = 20_000  # before a space counts as empty
_FEW_DRAWS = 500
_LEAST = 1e-12  # density of a prior: where one is sure, the rest is next to impossible
_EXACT = 20_000  # up to so many products, sizes are counted


class Size(NamedTuple):
    """How many configurations a space holds; `exact` is False where it was estimated by sampling."""

    total: float
    exact: bool


class Space:
    """Named parameters, the conditions between them, and combinations that are forbidden.

    Parameters
    ----------
    parameters
        A mapping of name to parameter, for names that are no Python identifiers or collide with `forbid`.
    forbid
        Conditions that no configuration may meet: expressions or mappings (`luthier.Condition`).
    **named
        Parameters by name. A plain value is a constant that every configuration carries.

    Raises
    ------
    SpaceError
        If the space contradicts itself: unknown names, conditions that can never hold or run in a circle, or no
        configuration that is allowed.

    Examples
    --------
    >>> import numpy as np
    >>> from luthier import Choice, Float, Space
    >>> space = Space(
    ...     lr=Float(1e-5, 1e-1, log=True, prior=1e-3),
    ...     opt=Choice("adam", "sgd"),
    ...     momentum=Float(0.0, 0.99, when={"opt": "sgd"}),
    ...     epochs=20,
    ...     forbid=["opt == 'adam' and lr > 0.05"],
    ... )
    >>> space.validate({"lr": 0.1, "opt": "sgd", "momentum": 0.9})
    {'lr': 0.1, 'opt': 'sgd', 'momentum': 0.9, 'epochs': 20}
    >>> space.encode({"lr": 1e-3, "opt": "adam", "epochs": 20})
    array([0.5 , 0.25,  nan])
    """

    def __init__(
        self,
        parameters: Mapping[str, Any] | None = None,
        /,
        *,
        forbid: Sequence[str | Mapping[str, Any] | Condition] = (),
        **named: Any,
    ) -> None:
        given = {**(parameters or {}), **named}
        if not given:
            raise SpaceError("a space needs at least one parameter, such as lr=Float(1e-5, 1e-1, log=True)")
        for name in given:
            if not isinstance(name, str) or not name:
                raise SpaceError(f"a parameter's name is a string, got {name!r}")
        self.names: tuple[str, ...] = tuple(given)
        self.parameters: dict[str, Parameter] = {n: p for n, p in given.items() if isinstance(p, Parameter)}
        self.constants: Config = {n: _constant(n, p) for n, p in given.items() if not isinstance(p, Parameter)}
        self.columns: tuple[str, ...] = tuple(self.parameters)
        if isinstance(forbid, (str, Mapping, Condition)):
            forbid = [forbid]
        self.forbid: tuple[Condition, ...] = tuple(Condition(f) for f in forbid)
        self._conditions = {n: p.when for n, p in self.parameters.items() if p.when is not None}
        self._check_names()
        self._order = self._topological()
        self._flat = not self._conditions
        self._plain = self._flat and not self.constants
        self.finite = all(math.isfinite(p.size) for p in self.parameters.values())
        self.endless = any(
            p.when is None and math.isinf(p.size) for p in self.parameters.values()
        )  # no draw comes twice
        self._sizes: dict[int | None, Size] = {}
        self._codec = tuple(_codec(n, p) for n, p in self.parameters.items())
        self._beliefs = [(i, b) for i, p in enumerate(self.parameters.values()) if (b := p.belief()) is not None]
        self._check_possible()

    # -- sampling ----------------------------------------------------------------------------------------------------

    def sample(self, rng: np.random.Generator, *, believed: bool = False) -> Config:
        """Draw one allowed configuration, uniform on each parameter's scale.

        Parameters
        ----------
        rng
            Where the draws come from.
        believed
            Draw parameters that have a prior from their prior instead.
        """
        for _ in range(_DRAWS):
            x = rng.random(len(self.columns))
            if believed and self._beliefs:
                x = self.believe(x)
            config = self.decode(x)
            if not self.forbid or not self.forbidden(config):
                return config
        raise SpaceError(f"no allowed configuration in {_DRAWS} draws: loosen the forbidden combinations")

    def believe(self, x: Array) -> Array:
        """Move uniform points, (d,) or (n, d), so that they follow the priors (inverse distribution functions)."""
        moved = np.array(x)
        for column, (points, below) in self._beliefs:
            moved[..., column] = np.interp(moved[..., column], below, points)
        return moved

    def log_prior(self, x: Array) -> Array:
        """Log density of the priors.

        Parameters
        ----------
        x : (n, d) float array
            Encoded configurations; inactive parameters count as believed as any.

        Returns
        -------
        (n,) float array
            Natural-log density relative to the uniform one; zero in a space without priors.
        """
        total = np.zeros(len(x))
        for column, (points, below) in self._beliefs:
            density = np.diff(below) / np.diff(points)
            cell = np.clip(np.searchsorted(points, x[:, column], side="right") - 1, 0, len(density) - 1)
            total += np.where(np.isnan(x[:, column]), 0.0, np.log(np.maximum(density[cell], _LEAST)))
        return total

    @property
    def has_prior(self) -> bool:
        """Whether some parameter has a prior."""
        return bool(self._beliefs)

    def complete(self, partial: Mapping[str, Any], rng: np.random.Generator) -> Config:
        """Fill a partial configuration: what is missing takes its prior, or is drawn.

        Raises
        ------
        ConfigError
            If a given value is not allowed, or no allowed configuration has these values.
        """
        for name in partial:
            self._known(name)
        given = {n: self._checked(n, v) for n, v in partial.items() if v is not None or self._holds_none(n)}
        for attempt in range(1000):
            drawn = self.decode(rng.random(len(self.columns)), active=False)
            if attempt < 500:  # later without: what is given may rule the priors out
                drawn.update({n: p.prior for n, p in self.parameters.items() if p.prior is not None})
            config = self._active({**drawn, **self.constants, **given})
            fits = given.keys() <= config.keys() and not config.keys() & (partial.keys() - given.keys())
            if fits and not self.forbidden(config):
                return self.validate(config)
        return self.validate({**config, **partial})  # says what is wrong with it

    # -- configurations ----------------------------------------------------------------------------------------------

    def validate(self, config: Mapping[str, Any]) -> Config:
        """Return the configuration with canonical types and order, constants filled in.

        Raises
        ------
        ConfigError
            If a name is unknown or missing, a value is not allowed, a parameter is given where it is inactive, or the
            combination is forbidden.
        """
        for name in config:
            self._known(name)
        checked: Config = {}
        for name in self._order:
            if name in self._conditions and not self._conditions[name].holds(checked):
                if config.get(name) is not None:
                    raise ConfigError(f"{name} is inactive unless {self._conditions[name].source}: leave it out")
                continue
            if name not in config and name not in self.constants:
                raise ConfigError(f"{name} is missing; it is {self._describe(name)}")
            checked[name] = self._checked(name, config[name]) if name in config else self.constants[name]
        forbidden = self.forbidden(checked)
        if forbidden:
            raise ConfigError(f"this combination is forbidden: {forbidden.source}, got {checked!r}")
        return {n: checked[n] for n in self.names if n in checked}

    def forbidden(self, config: Mapping[str, Any]) -> Condition | None:
        """Return the first forbidden combination that the configuration meets, or None."""
        return next((f for f in self.forbid if f.holds(config)), None)

    def encode(self, config: Mapping[str, Any]) -> Array:
        """Encode a valid configuration.

        Returns
        -------
        (d,) float array
            Codes in [0, 1] in the order of `columns`; NaN where inactive.
        """
        codes = []
        for name, cells, size, bottom, span, log, _, _, _ in self._codec:
            if name not in config:
                codes.append(math.nan)
            elif cells is not None:
                codes.append((cells.index(config[name]) + 0.5) / size)
            else:
                value = config[name]
                codes.append(((math.log(value) if log else value) - bottom) / span)
        return np.array(codes)

    def decode(self, x: Array, *, active: bool = True) -> Config:
        """Decode a point of the unit cube; inactive parameters are left out, whatever their code.

        Parameters
        ----------
        x : (d,) float array
            Codes in the order of `columns`; NaN only where inactive.
        active
            False keeps the inactive parameters too.
        """
        config = {}
        for (name, cells, size, bottom, span, log, whole, low, high), u in zip(self._codec, x.tolist(), strict=True):
            if cells is not None:
                i = int(u * size) if u == u else 0
                config[name] = cells[i if i < size else size - 1]
            elif u == u:
                value = bottom + u * span
                value = math.exp(value) if log else value
                config[name] = min(max(round(value) if whole else value, low), high)
        if self._plain or not active:
            return config
        return self._active(config)

    def snap(self, x: Array) -> Array:
        """Move points, (n, d), to the codes of the configurations they decode to: cell middles, NaN where inactive."""
        snapped = np.column_stack([p.snap(x[:, i]) for i, p in enumerate(self.parameters.values())])
        return np.where(self.active(snapped), snapped, math.nan)

    def active(self, x: Array) -> NDArray[np.bool_]:
        """Tell which parameters are active.

        Parameters
        ----------
        x : (n, d) float array

        Returns
        -------
        (n, d) bool array
        """
        mask = np.ones(x.shape, dtype=bool)
        if self._flat:
            return mask
        values, where = self._values(x), {n: i for i, n in enumerate(self.columns)}
        for name in self._order:
            condition = self._conditions.get(name)
            if condition is not None:
                parents = [mask[:, where[n]] for n in condition.names if n in where]
                mask[:, where[name]] = np.logical_and.reduce([condition.mask(values), *parents])
        return mask

    def allowed(self, x: Array) -> NDArray[np.bool_]:
        """Tell which points, (n, d), decode to configurations that are not forbidden; returns (n,) bool."""
        keep = np.ones(len(x), dtype=bool)
        if self.forbid:
            values, mask, where = self._values(x), self.active(x), {n: i for i, n in enumerate(self.columns)}
            for condition in self.forbid:
                parents = [mask[:, where[n]] for n in condition.names if n in where]
                keep &= ~np.logical_and.reduce([condition.mask(values), *parents])
        return keep

    def _values(self, x: Array) -> dict[str, NDArray[Any]]:
        needed = set().union(*(c.names for c in (*self._conditions.values(), *self.forbid)))
        filled = np.nan_to_num(x, nan=0.5)
        columns = {n: p.column(filled[:, i]) for i, (n, p) in enumerate(self.parameters.items()) if n in needed}
        return {**columns, **{n: _repeat(v, len(x)) for n, v in self.constants.items() if n in needed}}

    # -- counting ----------------------------------------------------------------------------------------------------

    def enumerate(self, points: int | None = None) -> Iterator[Config]:
        """Yield every allowed configuration once, lazily, the last parameter fastest.

        Parameters
        ----------
        points
            How many values to take of each continuous parameter, evenly spaced on its scale.

        Raises
        ------
        SpaceError
            If a parameter is continuous and `points` is not given.
        """
        for parameter in self.parameters.values():
            next(parameter.values(points))  # refuses continuous ones before anything is yielded

        def walk(rest: tuple[str, ...], config: Config) -> Iterator[Config]:
            if not rest:
                if not self.forbidden(config):
                    yield {n: config[n] for n in self.names if n in config}
                return
            name, later = rest[0], rest[1:]
            if name in self.constants:
                yield from walk(later, {**config, name: self.constants[name]})
            elif name in self._conditions and not self._conditions[name].holds(config):
                yield from walk(later, config)
            else:
                for value in self.parameters[name].values(points):
                    yield from walk(later, {**config, name: value})

        yield from walk(self._order, {})

    def size(self, points: int | None = None) -> Size:
        """Count the configurations.

        Exact where the space is a plain product or has at most 20,000 combinations; otherwise an estimate: the
        product times the share of sampled points that are distinct and allowed.
        """
        if points not in self._sizes:
            self._sizes[points] = self._count(points)
        return self._sizes[points]

    def _count(self, points: int | None) -> Size:
        sizes = [points if math.isinf(p.size) and points else p.size for p in self.parameters.values()]
        product = math.prod(sizes)
        if math.isinf(product) or (self._flat and not self.forbid):
            return Size(product, True)
        if product <= _EXACT:
            return Size(sum(1 for _ in self.enumerate(points)), True)
        x = np.random.default_rng(0).random((_DRAWS, len(sizes)))
        copies = np.where(self.active(x), 1.0, 1.0 / np.array(sizes)).prod(axis=1)  # inactive ones are one, not k
        return Size(float(np.round(product * np.mean(copies * self.allowed(x)))), False)

    # -- checks at the door ------------------------------------------------------------------------------------------

    def _check_names(self) -> None:
        owners = [*((f"when= of {n}", c) for n, c in self._conditions.items()), *(("forbid=", f) for f in self.forbid)]
        for owner, condition in owners:
            for name in sorted(condition.names - set(self.names)):
                raise SpaceError(f"{owner} names {name!r}, which is not in the space{did_you_mean(name, self.names)}")

    def _topological(self) -> tuple[str, ...]:
        order: list[str] = []
        waiting = list(self.names)
        while waiting:
            ready = [n for n in waiting if n not in self._conditions or self._conditions[n].names <= set(order)]
            if not ready:
                raise SpaceError(f"the conditions of {', '.join(waiting)} run in a circle")
            order += ready
            waiting = [n for n in waiting if n not in ready]
        return tuple(order)

    def _check_possible(self) -> None:
        if self._flat and not self.forbid:
            return
        for name, condition in self._conditions.items():
            self._check_condition(f"when= of {name}", condition, possible=True)
        for condition in self.forbid:
            self._check_condition("forbid=", condition, possible=False)
        for draws in (_FEW_DRAWS, _DRAWS):  # the many only where the few leave a doubt
            x = np.random.default_rng(0).random((draws, len(self.columns)))
            active, allowed = self.active(x), self.allowed(x)
            if active[allowed].any(axis=0).all() and allowed.any():
                return
        for i, name in enumerate(self.columns):
            if not active[:, i].any() and not self._reachable(name):
                raise SpaceError(f"{name} can never be active: {self._conditions[name].source} does not hold anywhere")
        if not allowed.any() and not self._any_allowed():
            raise SpaceError("no configuration is allowed: the forbidden combinations cover the whole space")
        for i, name in enumerate(self.columns):
            if active[:, i].any() and not active[allowed, i].any() and allowed.any():
                raise SpaceError(f"{name} can never be active: the forbidden combinations cover all of its places")

    def _check_condition(self, owner: str, condition: Condition, *, possible: bool) -> None:
        """Refuse comparisons of unlike types, and with values that a parameter does not have."""
        try:
            self._check_holds(owner, condition)
        except (TypeError, ZeroDivisionError) as error:
            raise SpaceError(f"{owner} {condition.source!r} cannot be evaluated everywhere: {error}") from None

    def _check_holds(self, owner: str, condition: Condition) -> None:
        condition.holds({n: next(p.values(2)) for n, p in self.parameters.items()} | self.constants)
        finite = [n for n in sorted(condition.names) if n in self.parameters]
        sizes = [self.parameters[n].size for n in finite]
        if math.prod(sizes) > _EXACT:
            return
        product = itertools.product(*(self.parameters[n].values() for n in finite))
        configs = ({**self.constants, **dict(zip(finite, values, strict=True))} for values in product)
        if not sum(condition.holds(config) for config in configs):  # all of them: each must be comparable
            raise SpaceError(f"{owner} {condition.source!r} can never hold: {'; '.join(map(self._describe, finite))}")

    def _reachable(self, name: str) -> bool:
        """Look for a place where a parameter that no draw has met is active: meet its ancestors one by one."""
        rng, where = np.random.default_rng(1), {n: i for i, n in enumerate(self.columns)}
        needed = {name}
        for other in reversed(self._order):
            if other in needed and other in self._conditions:
                needed |= self._conditions[other].names
        x, met = rng.random((200, len(self.columns))), np.zeros(len(self.columns), dtype=bool)
        for other in (n for n in self._order if n in needed and n in self._conditions):
            rows = x[self.active(x)[:, where[other]]]
            if not len(rows):
                return False
            met[[where[n] for n in self._conditions[other].names if n in where]] = True
            x = np.where(met, rows[rng.integers(len(rows), size=len(x))], rng.random(x.shape))
        return True

    def _holds_none(self, name: str) -> bool:
        return name in self.constants or None in (getattr(self.parameters[name], "options", None) or ())

    def _any_allowed(self) -> bool:
        if math.prod(p.size for p in self.parameters.values()) > _EXACT:
            return False
        return any(True for _ in self.enumerate())

    def _known(self, name: str) -> None:
        if name not in self.parameters and name not in self.constants:
            raise ConfigError(
                f"{name!r} is not in the space{did_you_mean(name, self.names)} (it has {', '.join(self.names)})"
            )

    def _checked(self, name: str, value: Any) -> Any:
        if name in self.constants:
            if tupled(value) != self.constants[name]:
                raise ConfigError(f"{name} is the constant {self.constants[name]!r}, got {value!r}")
            return self.constants[name]
        try:
            return self.parameters[name].check(value)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from None

    def _active(self, config: Mapping[str, Any]) -> Config:
        """Drop what is inactive, put constants in, in the order of declaration."""
        kept: Config = {}
        for name in self._order:
            if name in self.constants:
                kept[name] = self.constants[name]
            elif name in config and (name not in self._conditions or self._conditions[name].holds(kept)):
                kept[name] = config[name]
        return {n: kept[n] for n in self.names if n in kept}

    def _describe(self, name: str) -> str:
        return f"{name}={self.parameters.get(name, self.constants.get(name))!r}"

    # -- looks -------------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        size = self.size()
        about = "" if size.exact else "about "
        count = "continuous" if math.isinf(size.total) else f"{about}{plural(size.total, 'configuration')}"
        lines = [f"  {n} = {written(self.parameters.get(n, self.constants.get(n)))}" for n in self.names]
        lines += [f"  forbid {f.source}" for f in self.forbid]
        return f"Space, {plural(len(self.columns), 'parameter')}, {count}\n" + "\n".join(lines)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Space):
            return NotImplemented
        mine, theirs = (list(s.parameters.items()) for s in (self, other))
        return mine == theirs and self.constants == other.constants and self.forbid == other.forbid

    def __hash__(self) -> int:
        return hash((self.names, self.forbid))

    def __getstate__(self) -> dict[str, Any]:
        return {"given": {n: self.parameters.get(n, self.constants.get(n)) for n in self.names}, "forbid": self.forbid}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Space.__init__(self, state["given"], forbid=state["forbid"])


def _codec(name: str, p: Parameter) -> tuple[Any, ...]:
    """Lay out what `encode` and `decode` need of a parameter, so that neither makes a call for each."""
    low, high = p.bounds
    return name, p.cells, p.size, p.edges[0], p.edges[1] - p.edges[0], p.scale_log, p.kind == "int", low, high


def _constant(name: str, value: Any) -> Any:
    if isinstance(value, type) and issubclass(value, Parameter):
        raise SpaceError(f"{name} is the class {value.__name__}: give it its bounds, {value.__name__}(...)")
    return plain(value, f"the constant {name}")


def _repeat(value: Any, n: int) -> NDArray[Any]:
    column = np.empty(n, dtype=object)
    column[:] = [value] * n
    return column
