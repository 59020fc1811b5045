"""Freeze-thaw Bayesian optimization: start many trainings, go on with those whose forecast is good.

Each decision draws a horizon and a threshold at random, and gives some steps to what is likeliest to beat the threshold
within the horizon, be it a paused trial or a new configuration (ifBO, Rakotoarison et al. 2024, section 3.2); the
forecasts come from a Gaussian process over configurations and steps (`luthier.maths.curves`).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy.special import log_ndtr

from luthier.contracts import New, Proposal, Resume
from luthier.errors import SettingError
from luthier.history import History
from luthier.objective import Metric
from luthier.search.bayes_data import keys
from luthier.search.bayes_model import Surrogates
from luthier.search.bayes_start import START, start_point
from luthier.search.first import believed, unseen
from luthier.search.freeze_cost import Cost, measured
from luthier.search.freeze_data import Reader
from luthier.search.freeze_many import along, directions, spoken
from luthier.search.freeze_model import Aim, Fitter, Forecasts
from luthier.search.freeze_new import Scout
from luthier.search.freeze_reason import Forecast, forecast_of, passed_over, reason_give_up, reason_new, reason_resume
from luthier.space import Array
from luthier.trial import State, Trial

_THAWED = 64  # paused trials that are forecast: those with the lowest losses, and the last ones
_AHEAD = 128  # trials under way that are imagined: the latest
_KEPT = 3  # trials with the lowest losses that are never hopeless
_HOPELESS = (
    6.0  # standard deviations behind the best from which on a trial is given up; forecasts err by 2 to 5 at worst
)


class FreezeSearch:
    """Propose new trials and steps of paused ones by the same measure.

    Parameters
    ----------
    share
        Of a full training, that is given at a time.
    per_second
        Deal out seconds instead of steps: where a step of one configuration takes twice as long, it gets half of them.
        The proposals of a real study then depend on measured times and cannot be repeated exactly.
    last
        Share of the budget after which nothing else is done than to finish the best few trials by forecast. The best
        one is finished earlier where the rest of the budget would not be enough for it.
    few
        How many these are, those that have ended included.
    resume_steps
        What it costs to go on with a paused trial, in steps: loading its checkpoint, or the data. Paused trials have so
        many steps less to reach an aim, but at least half of them, and get at least as many when they are chosen. None
        takes what starting and resuming have cost so far in this study, see `luthier.search.freeze_cost`.

    Raises
    ------
    SettingError
        If `share` is not above 0 and up to 1, `last` not from 0 to 1, `few` not above 0, or `resume_steps` negative.

    Notes
    -----
    With a budget in trials, what follows the start of the last one finishes the best few, too. With several metrics,
    each decision looks along one of a few directions to the front, see `luthier.search.freeze_many`.

    Examples
    --------
    >>> import luthier as lt
    >>> from luthier.simulate import simulate
    >>> space = lt.Space(lr=lt.Float(1e-4, 1.0, log=True))
    >>> def curve(config):
    ...     return [abs(config["lr"] - 0.01) + 1.0 / step for step in range(1, 33)]
    >>> run = simulate(curve, space, minimize=True, budget="160 steps", search="freeze", schedule="full", seed=1)
    >>> len(run.study.trials) > 8
    True
    """

    paced = True  # it looks at what is spent, and makes several decisions between two new trials

    def __init__(
        self, *, share: float = 1 / 16, last: float = 0.9, few: int = 3, per_second: bool = False,
        resume_steps: float | None = None,
    ) -> None:  # fmt: skip
        if not 0.0 < share <= 1.0:
            raise SettingError(f"share= is above 0 and up to 1, got {share!r}")
        if not 0.0 <= last <= 1.0 or few < 1:
            raise SettingError(f"last= is from 0 to 1 and few= from 1 up, got {last!r} and {few!r}")
        if resume_steps is not None and not 0.0 <= resume_steps < math.inf:
            raise SettingError(
                f"resume_steps= is a number of steps from 0 up, or None to measure it, got {resume_steps!r}"
            )
        self.share, self.last, self.few = share, last, few
        self.per_second, self.resume_steps = per_second, resume_steps
        self._reader: Reader | None = None
        self._fitters: dict[int, Fitter] = {}  # by direction; 0 is that of the first metric
        self._surrogates: Surrogates | None = None

    def describe(self, history: History) -> str:
        """Say what it is."""
        return (
            f"freeze-thaw: {START} starting points, then a model of learning curves chooses between new trials and "
            f"paused ones, {self.share:.0%} of a training at a time"
        )

    def propose(self, history: History, n: int, rng: np.random.Generator) -> list[Proposal]:
        """Return the next `n`; fewer when a finite space is exhausted and nothing is paused."""
        many = len(history.metrics) > 1
        decision = self._decision(history, 1 + int(rng.integers(len(directions(len(history.metrics))))) if many else 0)
        decision.found += believed(history, rng)[:n]
        while len(decision.found) < n:
            proposal = decision.next(rng)
            if proposal is None:
                break
            decision.found.append(proposal)
        return [decision.granted(p) if isinstance(p, New) else p for p in decision.found]

    def resume(self, history: History) -> Resume | None:
        """Return a paused trial to finish, without starting anything new: one of the best few by forecast."""
        many = len(history.metrics) > 1
        step = sum(t.steps for t in history.live) if many else 0  # no two decisions in a row look the same way
        decision = self._decision(history, 1 + step % len(directions(len(history.metrics))) if many else 0)
        unheard, forecasts = decision.unheard(), decision.forecasts()
        return unheard if unheard is not None or forecasts is None else decision.finish(forecasts, self.few)

    def hopeless(self, history: History) -> dict[int, str]:
        """Return the paused trials that will hardly be worth another step, by number, and why.

        With several metrics, those that are hopeless in every direction.
        """
        ways = range(1, 1 + len(directions(len(history.metrics)))) if len(history.metrics) > 1 else [0]
        found: dict[int, str] | None = None
        for way in ways:
            decision = self._decision(history, way)
            forecasts = decision.forecasts()
            there = {} if forecasts is None else decision.hopeless(forecasts)
            found = there if found is None else {n: why for n, why in found.items() if n in there}
        return found or {}

    def prospects(self, history: History) -> dict[int, float]:
        """Return how far the paused trials are behind the best by forecast of the first metric, by number.

        In standard deviations of their forecasts; those too far behind to be in the model are left out.
        """
        decision = self._decision(history)
        forecasts = decision.forecasts()
        return {} if forecasts is None else decision.behind(forecasts, decision.reading.paused)

    def forecast(self, history: History, number: int, steps: Array) -> Forecast | None:
        """Forecast the curve of a trial.

        Parameters
        ----------
        history : History
        number : int
            Of a trial that has reported.
        steps : (k,) array
            Where to forecast it.

        Returns
        -------
        Forecast or None
            In units of the first metric; None if there is no model yet, or the trial is too far behind to be in it.
        """
        decision = self._decision(history)
        forecasts = decision.forecasts()
        places = [i for i, s in enumerate(decision.reading.strands) if s.trial.number == number]
        if forecasts is None or not places or places[0] not in forecasts.row:
            return None
        time = np.asarray(steps, dtype=np.float64) / decision.reading.total(decision.reading.strands[places[0]].trial)
        return forecast_of(history.metrics[0], forecasts, forecasts.row[places[0]], np.asarray(steps), time)

    def _decision(self, history: History, way: int = 0) -> _Decision:
        """What to do at a history; `way` is the direction, from 1, or 0 for the first metric alone."""
        reader, surrogates = Reader.of(history, self._reader), self._surrogates
        if reader is not self._reader or surrogates is None:
            self._reader, self._fitters = reader, {}
            surrogates = self._surrogates = Surrogates(reader.frame)
        fitter = self._fitters.setdefault(way, Fitter(reader.frame))
        reading, metric = reader.read(history), history.metrics[0]
        if way:
            weights = directions(len(history.metrics))[way - 1]
            reading, metric = along(reading, weights), spoken(history, weights)
        return _Decision(self, history, Scout(reader, reading, surrogates), fitter, metric)


class _Decision:
    """What to do next at one state of a history; knows what has been chosen in the same call."""

    def __init__(self, search: FreezeSearch, history: History, scout: Scout, fitter: Fitter, metric: Metric) -> None:
        self.search, self.history, self.reader, self.reading = search, history, scout.reader, scout.reading
        self.fitter, self.scout = fitter, scout
        self.space, self.metric = history.space, metric
        self.found: list[Proposal] = []
        self.pace: float | None = None  # median seconds of a step
        self.cost = measured(history) if search.resume_steps is None else Cost(resume=search.resume_steps)

    def granted(self, new: New) -> New:
        """Grant a new trial its first steps; a single one while the length of a training is unknown."""
        known = any(s.trial.total_steps for s in self.reading.strands)
        return New(new.config, new.reason, self.first() if known else 1, new.origin)

    def first(self) -> int:
        """How many steps a new trial is given."""
        return min(self.reading.length, max(self.piece(self.reading.length), math.ceil(self.cost.start)))

    def piece(self, length: int) -> int:
        """How many steps are given at a time."""
        return max(1, round(self.search.share * length))

    @property
    def new(self) -> list[New]:
        """New trials chosen in this call."""
        return [p for p in self.found if isinstance(p, New)]

    def forecasts(self) -> Forecasts | None:
        """Fit the model to what is known, with what runs and what was chosen in this call as under way."""
        pending: list[tuple[Array, int, float]] = []
        ahead = {p.number: p.grant for p in self.found if isinstance(p, Resume)}
        for place, strand in enumerate(self.reading.strands):
            trial = strand.trial
            if trial.state in (State.RUNNING, State.WAITING) or trial.number in ahead:
                total = self.reading.total(trial)
                grant = ahead.get(trial.number, trial.grant) or total
                pending.append((strand.x, place, min(grant / total, 1.0)))
        share = self.first() / self.reading.length
        pending += [(self.space.encode(p.config), -1, share) for p in self.new]
        return self.fitter.forecasts(self.reading, pending[-_AHEAD:])

    def next(self, rng: np.random.Generator) -> Proposal | None:
        """Choose one thing to do; None if nothing is left."""
        unheard = self.unheard()
        if unheard is not None:
            return unheard
        number = self.history.began + len(self.new)
        taken = [p.config for p in self.new]
        also = set(keys(np.array([self.space.encode(c) for c in taken]).reshape(len(taken), self.reader.frame.d)))
        forecasts = self.forecasts() if number >= START else None
        if forecasts is not None:
            chosen = self.weigh(forecasts, also, rng)
            if chosen is not None:
                return chosen
        else:
            code = start_point(self.reader.frame, self.history.seed, number)
            config = self.space.decode(code)
            if self.reader.fresh(code[None], also)[0] and self.space.forbidden(config) is None:
                return New(config, reason="a starting point, spread over the space")
        rest = unseen(self.history, taken, rng)
        if rest is not None:
            return New(rest, reason="a draw among what was not tried")
        places = self.candidates(self.reading.paused)
        best = min(places, key=lambda i: (self.reading.strands[i].best, i), default=None)
        return None if best is None else self.go_on(best, "nothing new is left to try")

    def unheard(self) -> Resume | None:
        """Go on with a trial that was paused before it reported the metric: it tells nothing yet."""
        places = self.candidates(self.reading.silent)
        return self.go_on(places[0], "it has not reported what is tuned yet") if places else None

    def weigh(self, forecasts: Forecasts, also: set[bytes], rng: np.random.Generator) -> Proposal | None:
        """Draw an aim; return what is likeliest to reach it."""
        aim = self.aim(forecasts, rng)
        few = self.search.few if self.history.share >= self.search.last else 1 if self.is_late(forecasts) else 0
        last = self.finish(forecasts, few) if few else None
        if last is not None:
            return last
        places = self.candidates([i for i in self.reading.paused if i in forecasts.row])
        chances = self.chances(forecasts, aim, places)
        bar = float(chances.max(initial=-np.inf))
        if places and forecasts.crowded:  # where one under way is likeliest, the best paused one is next, not a new one
            bar = max(bar, float(self.chances(forecasts, aim, self.under_way(forecasts)).max(initial=-np.inf)))
        code = self.scout.best(forecasts, aim, bar, also=also, rng=rng)
        if code is not None:
            config = self.space.decode(code)
            if self.space.forbidden(config) is None:
                why = reason_new(self.metric, forecasts, self.reader.frame, code)
                return New(config, reason=why + passed_over(self.metric, self.reading, forecasts, places))
        if not places:
            return None
        top = places[int(np.argmax(chances))]
        return self.go_on(top, reason_resume(self.metric, self.reading, forecasts, top))

    def aim(self, forecasts: Forecasts, rng: np.random.Generator) -> Aim:
        """Draw an aim, no closer than the steps that a resumed trial gets at least."""
        aim, length = Aim.draw(forecasts, self.reading.length, rng), self.reading.length
        return replace(aim, horizon=min(length, max(aim.horizon, math.ceil(self.cost.resume))))

    def chances(self, forecasts: Forecasts, aim: Aim, places: list[int]) -> Array:
        """Log probabilities, (k,), that paused trials reach an aim."""
        if not places:
            return np.empty(0)
        trials = [self.reading.strands[i].trial for i in places]
        horizon = max(aim.horizon - max(0.0, self.cost.resume - self.cost.start), 0.5 * aim.horizon)
        ahead = [t.steps + horizon / self.slowness(t) for t in trials]
        time = np.array([min(1.0, s / self.reading.total(t)) for s, t in zip(ahead, trials, strict=True)])
        mean, variance = forecasts.model.of_trials(np.array([forecasts.row[i] for i in places], dtype=np.intp), time)
        return np.asarray(log_ndtr((aim.threshold - mean) / np.sqrt(variance)))

    def slowness(self, trial: Trial) -> float:
        """How long a step of a trial takes, in units of the median; 1 where steps are dealt out."""
        if not self.search.per_second:
            return 1.0
        if self.pace is None:
            known = [s.trial.seconds / s.trial.steps for s in self.reading.strands if s.trial.steps]
            self.pace = float(np.median(known)) if known else 0.0
        return trial.seconds / trial.steps / self.pace if self.pace and trial.steps and trial.seconds else 1.0

    @property
    def resumed(self) -> set[int]:
        """Trials to go on with that were chosen in this call."""
        return {p.number for p in self.found if isinstance(p, Resume)}

    def under_way(self, forecasts: Forecasts) -> list[int]:
        """Trials that run, or are about to, and have a forecast."""
        gone, trials = self.resumed, [(i, self.reading.strands[i].trial) for i in forecasts.row]
        return [i for i, trial in trials if trial.state is State.RUNNING or trial.number in gone]

    def candidates(self, places: list[int]) -> list[int]:
        """Those of some paused trials that are worth a forecast and not chosen yet."""
        gone = self.resumed
        places = [i for i in places if self.reading.strands[i].trial.number not in gone]
        if len(places) <= _THAWED:
            return places
        best = sorted(places, key=lambda i: (self.reading.strands[i].best, i))[: _THAWED - 8]
        return sorted({*best, *places[-8:]})

    def is_late(self, forecasts: Forecasts) -> bool:
        """Tell whether what is left of the budget is hardly enough to finish the best trial by forecast."""
        strands, share = self.reading.strands, self.history.share
        if not 0.0 < share < 1.0:
            return False
        best = strands[self.ranked(forecasts)[0]].trial
        left = sum(strand.trial.steps for strand in strands) * (1.0 - share) / share
        total = self.reading.total(best)
        return best.state is not State.DONE and left <= total - best.steps + self.piece(total)

    def ranked(self, forecasts: Forecasts) -> list[int]:
        """Return the trials in the model, the lowest forecast first."""
        places = np.array(list(forecasts.row))
        mean, _ = forecasts.model.of_trials(np.array(list(forecasts.row.values()), dtype=np.intp), np.ones(len(places)))
        return [int(place) for place in places[np.argsort(mean, kind="stable")]]

    def finish(self, forecasts: Forecasts, few: int) -> Resume | None:
        """Go on with the trial of the lowest forecast that has not ended, if it is among the best few."""
        open_places = set(self.candidates([i for i in self.reading.paused if i in forecasts.row]))
        for place in self.ranked(forecasts)[:few]:
            if place in open_places:
                why = "to finish the best few: " + reason_resume(self.metric, self.reading, forecasts, place)
                return Resume(self.reading.strands[place].trial.number, reason=why)
        return None

    def hopeless(self, forecasts: Forecasts) -> dict[int, str]:
        """Paused trials that will hardly beat the best, and why; none while no trial has shown how curves end."""
        strands = self.reading.strands
        if not any(strand.trial.state is State.DONE for strand in strands):
            return {}
        among = sorted(range(len(strands)), key=lambda i: (strands[i].best, i))[:_KEPT]
        behind = self.behind(forecasts, [i for i in self.reading.paused if i not in among])
        return {
            strand.trial.number: reason_give_up(self.metric, self.reading, forecasts, i)
            for i, strand in enumerate(strands)
            if behind.get(strand.trial.number, 0.0) > _HOPELESS
        }

    def behind(self, forecasts: Forecasts, places: list[int]) -> dict[int, float]:
        """How many standard deviations of its forecast the end of a trial lies behind the best; by its number."""
        places = [i for i in places if i in forecasts.row]
        rows = np.array([forecasts.row[i] for i in places], dtype=np.intp)
        mean, variance = forecasts.model.of_trials(rows, np.ones(len(rows)))
        far = (mean - forecasts.best) / np.sqrt(variance)
        return {self.reading.strands[i].trial.number: float(f) for i, f in zip(places, far, strict=True)}

    def go_on(self, place: int, why: str) -> Resume:
        """Give a paused trial its next steps."""
        trial = self.reading.strands[place].trial
        total = self.reading.total(trial)
        piece = max(self.piece(total), self.cost.resume)
        grant = trial.steps + max(1, round(piece / self.slowness(trial)))
        return Resume(trial.number, reason=why, grant=None if grant >= total else grant)


SEARCH = FreezeSearch
