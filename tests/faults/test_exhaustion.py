"""A finite space: nothing is tried twice, the study ends when it is exhausted, and says so."""

import pytest

import luthier as lt

_SPACE = lt.Space(
    a=lt.Int(1, 4), b=lt.Choice("x", "y"), c=lt.Ordinal(1, 2, 3, when={"b": "x"}), forbid=["a == 4 and c == 3"]
)


class _Told:
    """A view that remembers what it was told."""

    def __init__(self):
        self.said = []

    def begin(self, snapshot):
        self.snapshot = snapshot

    def say(self, text):
        self.said.append(text)

    def changed(self, trial):
        pass

    def close(self):
        pass


@pytest.mark.parametrize("search", ["random", "grid", "sobol", "auto"])
@pytest.mark.parametrize("workers", [0, 2])
def test_every_configuration_is_tried_exactly_once_and_the_end_is_told(search, workers):
    view = _Told()
    study = lt.tune(
        lambda a, b, c: a, _SPACE, minimize=True, search=search, budget=500, seed=4, workers=workers, view=view
    )
    tried = [t.config for t in study.trials]
    assert sorted(map(repr, tried)) == sorted(map(repr, _SPACE.enumerate()))
    assert len(tried) == _SPACE.size().total == 15
    assert any("nothing is left to try" in text for text in view.said), view.said


@pytest.mark.parametrize("search", ["random", "sobol"])
def test_an_exhausted_study_that_is_continued_finds_nothing_to_do(tmp_path, search):
    for _ in range(2):
        view = _Told()
        study = lt.tune(lambda a, b, c: a, _SPACE, minimize=True, search=search, workers=0, dir=tmp_path, view=view)
        assert len(study.trials) == 15
        assert any("nothing is left to try" in text for text in view.said)


def test_configurations_tried_by_hand_are_not_tried_again(tmp_path):
    start = [{"a": 1, "b": "y"}, {"a": 2, "b": "x", "c": 3}]
    study = lt.tune(lambda a, b, c: a, _SPACE, minimize=True, search="grid", workers=0, start=start, view="none")
    assert [t.config for t in study.trials[:2]] == start
    assert len(study.trials) == 15
