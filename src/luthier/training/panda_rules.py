"""The rules of panda mode, as functions of what was seen: has it diverged, does it stand, which branch goes on."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from luthier.errors import SettingError
from luthier.training.trend import falling, lower

_SPIKE = 5.0  # a loss so many times its first size above the first is a spike
_LOST = 0.5  # share of the progress that may be lost
_ERRORS = 3.0  # standard errors of a window that count as noise
_PROGRESS = 0.3  # share of the first loss that has to be gained to count as progress
_FLAT = 0.3  # a trend less sure than this is none
_FEWEST = 8  # windows before a trend is judged
_SURE = 0.15  # how sure another rate must be to be better
_FASTER = 0.5  # and how much faster the loss must fall at a higher one
_UNMOVED = 0.01  # share of the loss: where a branch gains less, the rate is far too low
_LEVEL = 3  # windows of a level
_CLEAR = 0.04  # and by what share its loss must be lower


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a babysitter may do.

    Parameters
    ----------
    test
        Share of the steps for a range test at the start, such as 0.04; 0 for none. A rate near what it finds is kept.
    branch
        Share of the steps that one branch takes; 0 for no branches.
    branches
        Largest share of the steps that branches may cost.
    checks
        Where, as shares of the steps, other rates are tried though all is well.
    anneal
        Share of the steps, at the end, over which the rate falls linearly to `final` of itself.
    final
        See `anneal`.
    plateau
        Whether to look for plateaus.
    guard
        Whether to look for divergence.
    hypergradient
        Beta of `Hypergradient`, in its multiplicative form, which then moves the rate between the decisions; 0: off.
    hold
        Device that holds the copies of weights and optimizer, up to four of them; None leaves them where they are.

    Raises
    ------
    SettingError
        If a share is not one.
    """

    test: float = 0.0
    branch: float = 0.02
    branches: float = 0.2
    checks: tuple[float, ...] = (0.08,)
    anneal: float = 0.3
    final: float = 0.01
    plateau: bool = True
    guard: bool = True
    hypergradient: float = 0.0
    hold: str | None = None

    def __post_init__(self) -> None:
        shares = {name: getattr(self, name) for name in ("test", "branch", "branches", "anneal", "final")}
        for name, value in shares.items():
            if not 0.0 <= value <= 1.0:
                raise SettingError(f"{name} is a share of the steps from 0 to 1, got {value!r}")
        if any(not 0.0 <= check < 1.0 for check in self.checks):
            raise SettingError(f"checks are shares of the steps from 0 to below 1, got {self.checks!r}")
        if self.hypergradient < 0.0:
            raise SettingError(f"hypergradient is positive, or 0 for none, got {self.hypergradient!r}")

    def taper(self, spent: int, steps: int) -> float:
        """Return the factor on the rate after so many steps of the budget."""
        left = (steps - spent) / max(self.anneal * steps, 1e-9)
        return 1.0 if left >= 1.0 else self.final + (1.0 - self.final) * left


@dataclass(slots=True)
class Curve:
    """The loss as it went on the path that is kept.

    Attributes
    ----------
    first : float or None
        The first loss of all, of the untrained weights.
    level : float
        Mean over the newest windows.
    best : float
        The lowest level.
    windows : list of float
        Means since the rate was last changed.
    """

    first: float | None = None
    level: float = math.inf
    best: float = math.inf
    windows: list[float] = field(default_factory=list)

    def began(self, losses: Sequence[float]) -> None:
        """Note the first loss, if it is that."""
        if self.first is None and losses and math.isfinite(losses[0]):
            self.first = self.level = losses[0]

    def add(self, losses: Sequence[float]) -> None:
        """Append a window."""
        mean = sum(losses) / len(losses)
        self.windows.append(mean)
        self.level = sum(self.windows[-_LEVEL:]) / len(self.windows[-_LEVEL:])
        if len(self.windows) >= _LEVEL:
            self.best = min(self.best, self.level)

    def accept(self, losses: Sequence[float]) -> None:
        """Take a level for what it is, though it is a worse one."""
        self.first = max(losses[0] if self.first is None else self.first, sum(losses) / len(losses))
        self.best = math.inf

    @property
    def progress(self) -> bool:
        """Whether training has got anywhere yet."""
        return self.first is not None and self.best < self.first - _PROGRESS * abs(self.first)

    def trouble(self, losses: Sequence[float]) -> str:
        """Say what is wrong with the newest losses; an empty string if nothing is."""
        if not all(map(math.isfinite, losses)):
            return f"the loss is {next(x for x in losses if not math.isfinite(x))}"
        first = losses[0] if self.first is None else self.first
        mean, middle = sum(losses) / len(losses), sorted(losses)[len(losses) // 2]
        size = max(abs(first), 1e-12)
        if middle > first + size:
            return f"the loss has risen from {first:.3g} to {middle:.3g}"
        usual = self.level + 0.1 * size if self.progress else first - 0.1 * size
        if max(losses) > first + _SPIKE * size and middle > usual:
            return f"the loss has jumped to {max(losses):.3g} and is no lower since"
        noise = _ERRORS * statistics.stdev(losses) / math.sqrt(len(losses)) if len(losses) > 1 else 0.0
        if self.progress and min(mean - noise, middle) > self.best + _LOST * (first - self.best):
            return f"the loss has gone back up from {self.best:.3g} to {mean:.3g}"
        return ""

    def stands(self) -> bool:
        """Whether the loss has not fallen since the rate was last changed, noise considered."""
        return len(self.windows) >= _FEWEST and falling(_grouped(self.windows)) > _FLAT


@dataclass(frozen=True, slots=True)
class Branch:
    """What came of a branch.

    Attributes
    ----------
    factor : float
        On the rate.
    losses : list of float
        In the second half, on the same batches as the others'.
    score : float
        Lower is better; infinite if it went wrong.
    """

    factor: float
    losses: list[float]
    score: float


def wins(new: Branch, leader: Branch | None, same: Branch, *, level: float, cuts: bool = False) -> bool:
    """Whether a branch is better than the best so far.

    Another rate than the present one must be clearly and surely better: by 4 %, and chance would do it less often than
    in 15 % of cases. A lower rate looks good for a moment, as there is less noise (Wu et al. 2018, "Understanding
    short-horizon bias"); a higher one must make the loss fall faster by half than the present one does, for one that is
    far too low gains nearly as many times as it is raised, and one at the edge of what is stable hardly anything.

    Parameters
    ----------
    new
        The newest.
    leader
        Best so far, None if all went wrong.
    same
        That of the present rate, the first that was tried.
    level
        Of the score before.
    cuts
        Whether a lower rate is wanted if it is no worse.
    """
    if not math.isfinite(new.score):
        return False
    if leader is None:
        return True
    if new.score >= leader.score:
        return False
    if not math.isfinite(same.score) or (cuts and new.factor < 1.0):
        return True
    gain = same.score - new.score
    if not gained(new.score, same.score) or lower(new.losses, same.losses) >= _SURE:
        return False
    return new.factor < 1.0 or gain > _FASTER * (level - same.score)


def wins_first(new: Branch, leader: Branch | None, given: Branch) -> bool:
    """Whether a branch from the untrained weights is better than the best so far.

    The lowest loss wins; only the rate that was given is not left without a clear gain, or a sure one upwards.
    """
    if leader is None or not math.isfinite(new.score):
        return math.isfinite(new.score)
    if leader.factor == given.factor:
        surely = new.factor > given.factor and lower(new.losses, given.losses) < _SURE
        return gained(new.score, given.score) or (surely and new.score < given.score)
    return new.score < leader.score


def next_factor(tried: Sequence[Branch]) -> float | None:
    """Say which rate to try next from the untrained weights: on towards lower losses, past the lowest by one.

    Parameters
    ----------
    tried
        So far, from the same weights.

    Returns
    -------
    float or None
        A factor on the rate; None if the best has been tried from both sides.

    Examples
    --------
    >>> next_factor([Branch(1.0, [], 2.0)]), next_factor([Branch(1.0, [], math.inf)])
    (0.25, 0.1)
    >>> next_factor([Branch(1.0, [], 2.0), Branch(0.25, [], 2.5)])  # by 16 while it makes no difference yet
    4.0
    >>> next_factor([Branch(1.0, [], 2.0), Branch(0.25, [], 2.5), Branch(4.0, [], 2.1)])
    """
    low, high = (pick(tried, key=lambda branch: branch.factor) for pick in (min, max))
    best = min(tried, key=lambda branch: branch.score)
    if not math.isfinite(best.score):
        return low.factor / 10.0
    if best is low:
        return low.factor / 4.0
    if best is not high:
        return None
    flat = low is not high and low.score - high.score < _UNMOVED * abs(low.score)
    return high.factor * (16.0 if flat else 4.0)


def gained(score: float, before: float) -> bool:
    """Whether a score is clearly lower than another."""
    return score < before - _CLEAR * abs(before) or (math.isinf(before) and score < before)


def _grouped(windows: Sequence[float], most: int = 24) -> list[float]:
    """Mean neighbors until there are at most `most`: a long plateau is judged as a whole, and cheaply."""
    size = -(-len(windows) // most)
    parts = [windows[k : k + size] for k in range(len(windows) % size, len(windows), size)]
    return [sum(part) / len(part) for part in parts]
