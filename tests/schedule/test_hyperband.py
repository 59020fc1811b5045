import luthier as lt
from luthier.schedule.halving import ladder
from luthier.schedule.hyperband import Hyperband
from luthier.simulate import simulate

SPACE = lt.Space(x=lt.Float(0.0, 1.0), y=lt.Float(0.0, 1.0))


def curve(config):
    return [abs(config["x"] - 0.3) + 0.3 * config["y"] + 1.0 / step for step in range(1, 82)]


def test_brackets_have_the_sizes_of_the_paper():
    steps = ladder(3, 1, 81)
    assert Hyperband(3).sizes(steps) == [81, 34, 15, 8, 5]  # Li et al. 2018, table 1


def test_each_round_fills_the_brackets_in_order():
    schedule, steps = Hyperband(3), ladder(3, 1, 9)
    brackets = [schedule.bracket(n, steps) for n in range(2 * sum(schedule.sizes(steps)))]
    one = [s for s, size in enumerate(schedule.sizes(steps)) for _ in range(size)]
    assert brackets == one * 2


def test_brackets_start_at_their_own_rungs():
    schedule = Hyperband(3, min_steps=3, guard=False)
    study = simulate(
        curve, SPACE, minimize="loss", budget="1620 steps", search="random", schedule=schedule, workers=4, seed=0
    ).study
    steps = ladder(3, 3, 81)
    started = [t for t in study.trials if t.number > 4 and t.steps in steps.rungs]
    assert all(t.steps >= steps.rungs[schedule.bracket(t.number, steps)] for t in started)
    assert {schedule.bracket(t.number, steps) for t in started} == {0, 1, 2, 3}


def test_a_trial_competes_only_in_its_bracket():
    schedule = Hyperband(3, min_steps=9, guard=False)
    study = simulate(
        curve, SPACE, minimize="loss", budget="1620 steps", search="random", schedule=schedule, seed=0
    ).study
    steps = ladder(3, 9, 81)
    for s in (0, 1):
        mine = [t for t in study.trials if schedule.bracket(t.number, steps) == s and t.steps >= steps.rungs[s]]
        went_on = [t for t in mine if t.steps > steps.rungs[s]]
        assert len(went_on) <= len(mine) / 3 + len(mine) ** 0.5  # what was promoted early may be overtaken later
