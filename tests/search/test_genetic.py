import numpy as np
import pytest
from playing import PAIR, ask, bowl, median_gain, mixed, play

from luthier import Float, Space
from luthier.errors import SettingError
from luthier.maths.pareto import hypervolume
from luthier.search.genetic import GeneticSearch, offspring
from luthier.search.random import RandomSearch


def test_it_beats_random_search_on_a_tree():
    assert median_gain(GeneticSearch, RandomSearch, mixed(), bowl, 60) > 0.1


def test_with_two_metrics_it_covers_more_of_the_front_than_random_search():
    space = Space({f"x{i}": Float(0, 1) for i in range(4)})

    def zdt1(config):  # Zitzler, Deb and Thiele 2000
        x = list(config.values())
        g = 1 + 3 * sum(x[1:])
        return {"loss": x[0], "size": g * (1 - (x[0] / g) ** 0.5)}

    reference = np.array([1.1, 6.0])
    for seed in range(3):
        ours, theirs = (
            play(s, space, zdt1, 150, seed=seed, metrics=PAIR).losses for s in (GeneticSearch(), RandomSearch())
        )
        assert hypervolume(ours, reference) > hypervolume(theirs, reference) + 0.3


def test_children_name_their_parents_who_are_among_the_best():
    history = play(GeneticSearch(population=8), mixed(), bowl, 40)
    order = np.argsort(history.losses[:, 0])
    elite = {history.ended[row].number for row in order[:8]}
    words = ask(GeneticSearch(population=8), history)[0].reason.partition(";")[0].replace(",", "").split()
    named = {int(word) for word in words if word.isdigit()}
    assert named
    assert named <= elite


def test_a_child_in_another_branch_than_its_parents_is_complete():
    space, rng = mixed(), np.random.default_rng(0)
    first = np.array([space.encode(space.sample(rng)) for _ in range(300)])
    children, _ = offspring(space, first, first[::-1], rate=0.5, rng=rng)
    assert (np.isnan(children) == ~space.active(children)).all()
    for row in children[space.allowed(children)]:
        space.validate(space.decode(row))


def test_the_population_follows_the_plan():
    def size(planned):
        return GeneticSearch().describe(play(GeneticSearch(), mixed(), bowl, 1, planned=planned)).rpartition(" ")[2]

    assert [size(n) for n in (10, 300, 10_000)] == ["12", "20", "50"]


@pytest.mark.parametrize("given", [{"population": 1}, {"contest": 0}, {"mutation": 0.0}])
def test_settings_out_of_range_are_refused(given):
    with pytest.raises(SettingError, match=next(iter(given))):
        GeneticSearch(**given)
