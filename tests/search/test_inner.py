import numpy as np
from playing import LOSS, told

from luthier import Float, Space, State, Trial
from luthier.history import History
from luthier.search.inner import InnerSearch, inside

WHOLE = Space(x=Float(0, 1), y=Float(0, 1))
PART = Space(x=Float(0, 0.5), y=0.5)


class Listener:
    """A search that keeps what it was shown."""

    def __init__(self) -> None:
        self.seen: list[History] = []

    def describe(self, history: History) -> str:
        return "a listener"

    def propose(self, history: History, n: int, rng: np.random.Generator) -> list:
        self.seen.append(history)
        return []


def test_inside_tells_which_configurations_lie_in_a_part():
    assert inside(PART, {"x": 0.2, "y": 0.5}) == {"x": 0.2, "y": 0.5}
    assert inside(PART, {"x": 0.7, "y": 0.5}) is None
    assert inside(PART, {"x": 0.2, "y": 0.4}) is None


def test_it_sees_the_trials_of_its_part_only_and_grows_with_them():
    listener, history, rng = Listener(), History(WHOLE, LOSS, planned=9), np.random.default_rng(0)
    inner = InnerSearch(listener)
    for config in ({"x": 0.1, "y": 0.5}, {"x": 0.9, "y": 0.5}, {"x": 0.3, "y": 0.5}):
        history = told(history, config, config["x"])
        inner.propose(history, PART, 1, rng)
    history = history.record(Trial(3, {"x": 0.4, "y": 0.5}, state=State.RUNNING))
    inner.propose(history.record(Trial(4, {"x": 0.4, "y": 0.9}, state=State.RUNNING)), PART, 1, rng)
    assert [[t.number for t in h.ended] for h in listener.seen] == [[0], [0], [0, 2], [0, 2]]
    assert len({id(h.lineage) for h in listener.seen}) == 1
    assert [t.number for t in listener.seen[-1].live] == [3]
    assert listener.seen[-1].planned == 9
    assert listener.seen[-1].x.shape == (2, 1)


def test_another_part_or_an_older_history_starts_afresh():
    listener, rng = Listener(), np.random.default_rng(0)
    inner = InnerSearch(listener)
    first = told(History(WHOLE, LOSS), {"x": 0.1, "y": 0.5}, 0.0)
    second = told(first, {"x": 0.2, "y": 0.5}, 0.0)
    for history, space in ((second, PART), (first, PART), (first, WHOLE)):
        inner.propose(history, space, 1, rng)
    assert [len(h) for h in listener.seen] == [2, 1, 1]
    assert len({id(h.lineage) for h in listener.seen}) == 3
