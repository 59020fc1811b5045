import numpy as np
import pytest
from playing import LOSS, mixed, told

from luthier import Choice, Float, Space, State, Trial
from luthier.history import History
from luthier.search.fresh import Results, begun, configs, drawn, first_fresh, nearest

SPACE = Space(x=Float(0, 1), kind=Choice("a", "b"), z=Float(0, 1, when="kind == 'b'"), forbid=["x > 0.9"])


def test_paused_trials_count_by_their_result_so_far():
    history = told(told(History(SPACE, LOSS), {"x": 0.1, "kind": "a"}, 3.0), {"x": 0.2, "kind": "a"}, None)
    for number, state, metrics in (
        (2, State.PAUSED, {"loss": 1.0}),
        (3, State.RUNNING, {"loss": 0.5}),
        (4, State.PAUSED, {}),
    ):
        history = history.record(Trial(number, {"x": number / 10, "kind": "a"}, state=state, metrics=metrics))
    seen = Results(history)
    assert seen.losses[:, 0] == pytest.approx([3.0, np.nan, 1.0], nan_ok=True)
    assert seen.x[:, 0].tolist() == [0.1, 0.2, 0.2]
    assert seen.running[:, 0].tolist() == [0.3, 0.4]
    assert [seen.number(row) for row in range(3)] == seen.numbers.tolist() == [0, 1, 2]


def test_the_first_fresh_point_is_allowed_new_and_not_taken():
    history = told(History(SPACE, LOSS), {"x": 0.25, "kind": "a"}, 1.0)
    history = history.record(Trial(1, {"x": 0.5, "kind": "a"}, state=State.RUNNING))
    x = np.array([[0.95, 0.25, np.nan], [0.25, 0.25, 0.3], [0.5, 0.25, np.nan], [0.75, 0.25, np.nan], [0.1, 0.75, 0.5]])
    taken = [{"x": 0.75, "kind": "a"}]
    assert first_fresh(history, x, taken) == (4, {"x": 0.1, "kind": "b", "z": 0.5})
    assert first_fresh(history, x[:4], taken) is None


def test_the_first_trial_is_the_middle_or_what_the_user_believes():
    rng = np.random.default_rng(0)
    found = begun(History(SPACE, LOSS), [], rng, start=5)
    assert found[0].reason == "the middle of the space"
    assert configs(found)[0]["x"] == 0.5
    assert begun(History(SPACE, LOSS), configs(found), rng, start=5)[0].reason == "a random draw, 2 of 5 to begin with"
    assert begun(History(mixed(), LOSS), [], rng, start=5)[0].origin == "prior"


def test_where_the_middle_is_forbidden_the_first_trial_is_drawn():
    space = Space(x=Float(0, 1), forbid=["x > 0.4 and x < 0.6"])
    assert "random" in begun(History(space, LOSS), [], np.random.default_rng(0), start=5)[0].reason


def test_nothing_is_drawn_from_an_exhausted_space():
    space = Space(kind=Choice("a", "b"))
    history = told(told(History(space, LOSS), {"kind": "a"}, 1.0), {"kind": "b"}, 1.0)
    assert drawn(history, [], np.random.default_rng(0), "a draw") == []


def test_the_nearest_trial_counts_numbers_by_distance_and_categories_by_equality():
    history = History(SPACE, LOSS)
    assert nearest(history, np.array([0.1, 0.25, np.nan])) == ""
    for config in ({"x": 0.1, "kind": "b", "z": 0.5}, {"x": 0.8, "kind": "a"}, {"x": 0.4, "kind": "b", "z": 0.1}):
        history = told(history, config, 1.0)
    assert nearest(history, np.array([0.1, 0.25, np.nan])) == "nearest so far: trial 1"
    assert nearest(history, np.array([0.3, 0.75, 0.2])) == "nearest so far: trial 2"


def test_a_trial_in_another_branch_is_far():
    space = Space(x=Float(0, 1), kind=Choice("a", "b"), z=Choice("p", "q", when="kind == 'b'"))
    history = told(told(History(space, LOSS), {"x": 0.5, "kind": "b", "z": "p"}, 1.0), {"x": 0.1, "kind": "a"}, 1.0)
    assert nearest(history, np.array([0.5, 0.25, np.nan])) == "nearest so far: trial 1"
