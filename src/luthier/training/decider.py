"""What a babysitter decides: after a range test, at the end of a window of steps or of a branch, or when told to."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from luthier.training.intervention import Command
from luthier.training.panda_rules import Branch, Curve, Rules, gained, next_factor, wins, wins_first
from luthier.training.range_test import blown_up, start_rate, sweep
from luthier.training.rate_log import Decision
from luthier.training.track import Track

_WINDOWS, _SHORTEST, _LONGEST = 100, 4, 50  # of the whole run, and steps of one: how often losses are read and judged
_LOW, _HIGH = 1e-5, 10.0  # rates of the range test
_NEAR = (1 / 30, 3.0)  # a rate that is given is kept if it is in this range around the test's
_CHECKPOINT = 4  # windows between two
_PATIENCE = 8  # rollbacks without a good window between them before giving up
_DOUBT = 3  # rollbacks in a row after which a finite loss is taken for what it is
_BACK = 10.0  # what a rollback divides the rate by
_ARMS = {
    "start": [1.0], "check": [1.0, 4.0, 0.25], "plateau": [1.0, 4.0, 0.25], "told": [1.0, 4.0, 0.25],
    "restart": [1 / 16, 1 / 64],
}  # fmt: skip # factors on the rate that are tried, by the reason for it; "start" finds its own as it goes


@dataclass(slots=True)
class Now:
    """Where a run stands, in plain values, for checkpoints."""

    spent: int = 0
    phase: str = "kept"  # or "test", "branch"
    leg: int = 0  # steps made in this phase
    losses: list[float] = field(default_factory=list)  # of this phase, if it is no kept one
    curve: Curve = field(default_factory=Curve)
    reason: str = ""  # of the branches
    arms: list[float] = field(default_factory=list)  # that are to be tried, the present one first
    tried: list[Branch] = field(default_factory=list)
    leader: int = -1  # place of the best of them
    before: float = math.inf  # the score before them
    scale: float = 1.0  # of the rates before them
    checks: int = 0  # planned ones that are behind
    wait: int = 0  # no branches for a plateau before so many steps are spent
    gap: int = 0
    branched: int = 0  # steps that branches cost
    failures: int = 0  # rollbacks since the last good window
    trusted: float = 1.0  # scale before the first of them
    failed: int = 0  # the furthest step where one was needed
    not_finite: list[int] = field(default_factory=list)  # steps of those since then where the loss was not finite
    observed: bool = False
    ended: str = ""


class Decider:
    """Judges losses and moves a run on its track.

    Parameters
    ----------
    track
        Of the run.
    rules
        What may be done.
    valid
        Returns the score of a branch, lower is better; None takes the training loss.
    announce
        Gets every decision, once it is in the log.

    Attributes
    ----------
    now : Now
    window : int
        Steps between two looks at the losses.
    """

    def __init__(
        self, track: Track, rules: Rules, *, valid: Callable[[], float] | None, announce: Callable[[Decision], Any]
    ) -> None:
        self.track, self.rules, self._valid, self._announce = track, rules, valid, announce
        self.steps = steps = track.log.steps
        self.window = min(max(steps // _WINDOWS, _SHORTEST), _LONGEST, steps)
        self._branch = max(2 * self.window, round(rules.branch * steps)) if rules.branch else 0
        self._test = max(20, round(rules.test * steps)) if rules.test else 0
        self.now = Now(gap=8 * self.window)
        self._noted: set[str] = set()

    @property
    def taper(self) -> float:
        """Factor on the rates that the end of the run brings."""
        return 1.0 if self.now.phase == "test" else self.rules.taper(self.now.spent, self.steps)

    @property
    def rate(self) -> float:
        """The present rate of the first group."""
        return self.track.base[0] * self.track.scale * self.taper

    @property
    def full(self) -> bool:
        """Whether the losses since the last time are to be judged."""
        now = self.now
        ends = now.spent >= self.steps or (now.phase == "branch" and now.leg >= self._branch)
        return ends or now.phase == "test" or now.leg % self.window == 0

    def judge(self, losses: list[float]) -> None:
        """Decide on the newest losses."""
        now, over = self.now, self.now.spent >= self.steps
        now.curve.began(losses)
        if now.curve.first is None:
            self._begin_elsewhere(losses[0])
        elif now.phase == "test":
            self._tested(losses, over)
        elif now.phase == "branch":
            self._branched(losses, over)
        else:
            self._went_on(losses, over)
        if over and not now.ended:
            self.end("all steps are made")

    # -- the beginning -----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Before the first step."""
        self.track.mark("origin")
        self.track.same("good", "origin")
        if 0 < self._test <= self.steps // 4:
            self._enter("test")
            self.track.scale = _LOW / self.track.top
        else:
            self.decide("start", "as given")
            self._first_split()

    def _begin_elsewhere(self, loss: float) -> None:
        """The loss is not finite before anything was learned: no rate helps, but other data may."""
        self.now.failures += 1
        self.track.back("origin", order=False)
        if self.now.failures > _PATIENCE:
            self.end(f"given up: the loss is {loss} before the first update, on {_PATIENCE} stretches of data: look at "
                     "the inputs, the targets, the loss and the initial weights")  # fmt: skip
            return
        self.decide("rollback", f"the loss is {loss} before the first update: begun again with the data from here on")
        self.track.scale = 1.0
        self._enter("kept")
        self.begin()

    def _enter(self, phase: str) -> None:
        self.now.phase, self.now.leg, self.now.losses = phase, 0, []

    def _tested(self, losses: list[float], over: bool) -> None:
        now, rates = self.now, sweep(_LOW, _HIGH, self._test)
        now.losses += losses
        if now.leg < self._test and not over and not blown_up(now.losses):
            self.track.scale = rates[now.leg] / self.track.top
            return
        rate = start_rate(rates, now.losses)
        self.track.back("origin")
        self._enter("kept")
        given = self.track.top
        if rate is None:
            self.decide("start", f"the range test saw no fall of the loss: {given:g} as given")
        elif _NEAR[0] * rate <= given <= _NEAR[1] * rate:
            self.decide("start", f"the range test says {rate:.2g}: {given:g} as given is near")
        else:
            self.track.scale = rate / given
            self.decide("start", f"the range test says {rate:.2g}, {given:g} was given")
        self._first_split()

    def _first_split(self) -> None:
        if self._affordable("start") and not self.now.ended:
            self._split("start", "which rate to begin with?")

    # -- the path that is kept ---------------------------------------------------------------------------------------

    def _went_on(self, losses: list[float], over: bool) -> None:
        now = self.now
        if self.rules.guard and (trouble := now.curve.trouble(losses)):
            finite = all(map(math.isfinite, losses))
            if not finite or now.failures < _DOUBT:
                self._rolled_back(trouble, finite=finite)
                return
            self.track.scale = now.trusted / _BACK
            now.curve.accept(losses)
            self.decide("note", f"{trouble} at whatever rate: taken as it is")
        now.curve.add([x for x in losses if math.isfinite(x)] or [math.inf])
        if self.track.step > now.failed:
            now.failures = 0
        if now.leg // self.window % _CHECKPOINT == 0:
            self.track.mark("good", note=(now.curve.level, now.curve.best))
            if now.spent >= self.steps / 2:
                self.track.drop("origin")
        if not over:
            self._look_around()

    def _look_around(self) -> None:
        """Start branches if it is time for them."""
        now, rules = self.now, self.rules
        if not self._affordable("check"):
            if rules.plateau and not self._branch and self.taper == 1.0 and now.curve.stands():
                self.track.scale /= 4.0
                now.curve.windows.clear()
                self.decide("cut", "the loss has stopped falling")
        elif now.checks < len(rules.checks) and now.spent >= rules.checks[now.checks] * self.steps:
            now.checks += 1
            self._split("check", "is another rate better?")
        elif rules.plateau and now.spent >= now.wait and now.curve.stands():
            now.gap *= 2
            now.wait = now.spent + len(_ARMS["plateau"]) * self._branch + now.gap
            self._split("plateau", "the loss has stopped falling:")

    def _affordable(self, reason: str) -> bool:
        """Whether branches fit in before the rate falls, and into what they may cost."""
        steps = len(_ARMS[reason]) * self._branch
        kept = 0 if reason == "restart" else self._branch
        ends, cost = self.now.spent + steps, self.now.branched + steps - kept
        return steps > 0 and ends <= (1 - self.rules.anneal) * self.steps and cost <= self.rules.branches * self.steps

    def _rolled_back(self, trouble: str, *, finite: bool, by: float = _BACK) -> None:
        """Go back to the last good checkpoint with a lower rate; pass over data that are bad whatever the rate."""
        now = self.now
        now.failures += 1
        if now.failures > _PATIENCE:
            self.track.back("good")
            self.end(f"given up after {_PATIENCE} rollbacks in a row: {trouble}; is it the data or the loss?")
            return
        if now.failures == 1:
            now.trusted, now.not_finite = self.track.scale, []
        place, rate = self.track.step, self.track.scale
        now.failed = max(now.failed, place)
        mark = "good" if now.curve.progress or "origin" not in self.track else "origin"
        stuck = not finite and any(abs(place - other) <= self.window for other in now.not_finite)
        note = self.track.back(mark, order=not stuck)
        self._enter("kept")
        now.curve.windows.clear()
        now.curve.level, now.curve.best = note or (math.inf, math.inf)
        if not finite:
            now.not_finite.append(place)
        if stuck:
            self.track.scale = now.trusted
            self.decide("rollback", f"{trouble} again at step {place}: these batches are passed over, rate as before")
        else:
            self.track.scale = min(self.track.scale, rate / by)
            self.decide("rollback", f"{trouble}: back to step {self.track.step} with a lower rate")

    # -- branches ----------------------------------------------------------------------------------------------------

    def _split(self, reason: str, why: str) -> None:
        """Begin to try branches, from here or, for a restart, from the beginning with here as one of them."""
        now, note = self.now, (self.now.curve.level, self.now.curve.best)
        try:
            self.track.mark("leader" if reason == "restart" else "good", note=note)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            self._branch = 0
            self.decide("note", "no memory for another copy of the weights: no branches from now on")
            return
        now.reason, now.arms, now.scale = reason, list(_ARMS[reason]), self.track.scale
        now.before = self._valid() if self._valid else now.curve.level
        now.tried = [Branch(1.0, [], now.before)] if reason == "restart" else []
        now.leader = len(now.tried) - 1
        said = "" if reason == "start" else f" trying x{', x'.join(f'{arm:g}' for arm in now.arms)}"
        self.decide("branch", f"{why}{said} for {self._branch} steps")
        self._next_branch()

    def _next_branch(self) -> None:
        self.track.back(self._root)
        self._enter("branch")
        self.track.scale = self.now.scale * self.now.arms[0]

    @property
    def _root(self) -> str:
        """The mark that branches begin at."""
        return "origin" if self.now.reason == "restart" else "good"

    def _branched(self, losses: list[float], over: bool) -> None:
        """Judge a branch, at the end or when it goes wrong; then the next one, or the choice."""
        now = self.now
        now.losses += losses
        fresh = now.reason in ("start", "restart")
        bad = (Curve(now.curve.first, now.losses[0]) if fresh else now.curve).trouble(losses)
        if not bad and now.leg < self._branch and not over:
            return
        half = now.losses[len(now.losses) // 2 :]
        score = math.inf if bad else self._valid() if self._valid else sum(half) / len(half)
        now.tried.append(Branch(now.arms.pop(0), half, score if math.isfinite(score) else math.inf))
        now.branched += now.leg
        if now.reason == "start" and self._affordable("start") and (factor := next_factor(now.tried)) is not None:
            now.arms = [factor]
        if self._wins():
            now.leader = len(now.tried) - 1
            if now.arms and not over:
                self.track.mark("leader", since=self._root)
        if now.arms and not over:
            self._next_branch()
        else:
            self._choose()

    def _wins(self) -> bool:
        """Whether the branch that was tried last is the best so far."""
        now = self.now
        new, leader = now.tried[-1], now.tried[now.leader] if now.leader >= 0 else None
        if now.reason in ("start", "restart"):
            return wins_first(new, leader, now.tried[0])
        return wins(new, leader, now.tried[0], level=now.before, cuts=now.reason == "plateau")

    def _choose(self) -> None:
        """Go on with the best branch; if all are bad, go back and divide the rate by ten."""
        now = self.now
        said = ", ".join(f"x{b.factor:.3g}: {b.score:.4g}" for b in now.tried)
        if now.leader < 0:
            self.track.scale = now.scale * min(branch.factor for branch in now.tried)
            self._rolled_back(f"every branch went wrong ({said})", finite=True)
            return
        branch, restarted = now.tried[now.leader], now.reason == "restart" and now.leader > 0
        if now.leader < len(now.tried) - 1:
            self.track.back("leader")
        now.branched -= self._branch if now.reason != "restart" else 0
        self.track.drop("leader")
        self._enter("kept")
        if branch.factor != 1.0:
            now.curve.windows.clear()
        if restarted:
            now.curve.best = math.inf
        if now.reason == "restart":
            self.track.drop("origin")
        now.curve.level = sum(branch.losses) / len(branch.losses) if branch.losses else now.before
        kind = "restart" if restarted else "raise" if branch.factor > 1.0 else "cut" if branch.factor < 1.0 else "keep"
        self.decide(kind, f"loss by branch {said}")
        if now.reason == "check" and branch.factor > 1.0:
            now.checks -= 1  # look further up at once
        elif now.reason == "plateau" and not gained(branch.score, now.before) and self._restartable:
            self._split("restart", "no branch learns anything: a new beginning?")

    @property
    def _restartable(self) -> bool:
        return "origin" in self.track and self.now.spent < self.steps / 2 and self._affordable("restart")

    def obey(self, command: Command) -> None:
        """Do what a person wants; branches that are being tried are given up, the best of them goes on."""
        now = self.now
        if now.phase != "kept":
            self.track.back("leader" if "leader" in self.track else "good")
            self.track.drop("leader")
            now.branched += now.leg
            self._enter("kept")
        if command.do == "stop":
            self.end("a person said stop")
        elif command.do == "rollback":
            self._rolled_back("a person said rollback", finite=True, by=command.by)
            now.failures = 0
        elif command.do == "branch":
            self._split("told", "a person said branch:")
        else:
            change = {"lower": 1.0 / command.by, "raise": command.by}.get(command.do)
            self.track.scale = command.by / self.track.top if change is None else self.track.scale * change
            now.curve.windows.clear()
            self.decide("told", f"a person said {command}")

    # -- telling -----------------------------------------------------------------------------------------------------

    def decide(self, kind: str, why: str) -> None:
        """Write a decision down and announce it."""
        decision = Decision(self.now.spent, self.track.step, kind, self.rate, why)
        self.track.log.decisions.append(decision)
        self._announce(decision)

    def once(self, why: str) -> None:
        """Note a thing, the first time that it is seen."""
        if why not in self._noted:
            self._noted.add(why)
            self.decide("note", why)

    def end(self, why: str) -> None:
        """Let the run be over."""
        self.now.ended = why
        self.decide("end", why)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: torch has several ways."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in said or "allocate memory" in said
