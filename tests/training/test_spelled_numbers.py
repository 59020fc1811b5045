"""The sequence-to-sequence recipe on a language that can be generated: numbers in words, most of them never seen."""

import runpy
from pathlib import Path

import pytest
import torch

import luthier as lt
from luthier.errors import SettingError
from luthier.nets.seq2seq import Seq2Seq, shifted
from luthier.recipes import recipe
from luthier.training.metrics import sequences

EXAMPLE = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "spell_numbers.py"))
tokens, text, speller = EXAMPLE["tokens"], EXAMPLE["text"], EXAMPLE["speller"]


@pytest.fixture(scope="module")
def learned():
    numbers = torch.randperm(1000, generator=torch.Generator().manual_seed(0)).tolist()
    known, unknown = (tokens(part, longest=4, words=5) for part in (numbers[:600], numbers[600:]))
    small = recipe("seq2seq", vocabulary=14, target_vocabulary=len(EXAMPLE["WORDS"]), epochs=10)
    plan = small.plan({**small.default, "depth": 1, "batch_size": 32}, known, seed=1)
    return plan, plan.fit(unknown), unknown


def test_the_spelling_of_the_example_is_right():
    assert text(tokens([347])[1][0]) == "three hundred forty seven"
    assert [text(row) for row in tokens([0, 13, 9020])[1]] == ["zero", "thirteen", "nine thousand twenty"]


def test_the_recipe_learns_to_spell_numbers_it_has_never_seen(learned):
    _, curve, _ = learned
    assert curve[-1]["exact_match"] > 0.85
    assert curve[-1]["token_acc"] > 0.97


def test_what_it_writes_by_itself_is_as_right_as_what_was_measured_in_training(learned):
    plan, curve, (source, target) = learned
    written = plan.predict(source)
    assert written.shape == target.shape
    assert float((written == target).all(1).double().mean()) == pytest.approx(curve[-1]["exact_match"])
    assert not (written[(written == 0).cumsum(1) > 0]).any()  # nothing follows the end


def test_targets_may_begin_with_the_token_that_begins(learned):
    plan, _, (source, target) = learned
    begun = torch.cat([torch.ones(len(target), 1, dtype=torch.long), target], 1)
    for one, other in zip(plan.data((source, target))[0], plan.data((source, begun))[0], strict=True):
        assert torch.equal(one, other)
    assert torch.equal(plan.data((source, begun))[1], target)


def test_the_decoder_reads_what_comes_before():
    assert shifted(torch.tensor([[7, 8, 2, 0]])).tolist() == [[1, 7, 8, 2]]


def test_metrics_of_sequences_leave_padding_out():
    y = torch.tensor([[4, 2, 0], [3, 4, 2]])
    logits = torch.nn.functional.one_hot(torch.tensor([[4, 2, 1], [3, 1, 2]]), 5).float()
    assert sequences(logits, y) == {"token_acc": 0.8, "exact_match": 0.5}


def test_writing_stops_when_all_are_done():
    net = Seq2Seq(10, 10, depth=1, heads=1, width=8).eval()
    net.out.bias.data[2] = 100.0
    assert net.write(torch.tensor([[4, 5], [6, 0]]), 5).tolist() == [[2, 0, 0, 0, 0]] * 2


def test_any_configuration_of_the_space_trains_and_the_study_takes_its_metrics():
    known, unknown = ((source[:60], target[:60]) for source, target in EXAMPLE["data"]())
    quick = recipe("seq2seq", vocabulary=14, target_vocabulary=len(EXAMPLE["WORDS"]), epochs=1, width=32, depth=1)

    def train(config, run):
        quick.plan(config, known, seed=run.seed).fit(unknown, run=run)

    study = lt.tune(train, quick.space, maximize="token_acc", budget=8, search="random", workers=0, view="none", seed=0)
    assert all(trial.state == "done" for trial in study.trials)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: recipe("seq2seq", vocabulary=9), "needs target_vocabulary="),
        (lambda: speller.plan(speller.default, (torch.ones(4, 3).long(), torch.ones(4).long())), "shape"),
    ],
)
def test_what_is_missing_or_misshaped_is_told(wrong, told):
    with pytest.raises(SettingError, match=told):
        wrong()
