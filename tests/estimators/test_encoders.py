"""Raw inputs to tensors and targets back: learned on training rows, written as JSON, the same afterwards."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from luthier.data import Dataset, from_arrays
from luthier.errors import DataError
from luthier.estimators.encoders import encoder_of, learn_encoder
from luthier.estimators.images import ImageEncoder
from luthier.estimators.sounds import SoundEncoder
from luthier.estimators.tables import TableEncoder
from luthier.estimators.targets import learn_targets, targets_of
from luthier.estimators.texts import TextEncoder, Vocabulary, words_of


def again(encoder, task):
    return encoder_of(task, json.loads(json.dumps(encoder.state())))


def same(a, b):
    for one, other in zip(a if isinstance(a, tuple) else (a,), b if isinstance(b, tuple) else (b,), strict=True):
        torch.testing.assert_close(one, other, equal_nan=True)


def table(n=60, **columns):
    rng = np.random.default_rng(0)
    given_ = {"size": rng.normal(size=n), "hue": np.array(["red", "blue", "blue"] * (n // 3), dtype=object), **columns}
    return Dataset("tabular", given_, rng.integers(2, size=n), (0, 1))


def test_a_state_of_plain_values_encodes_the_same():
    rng = np.random.default_rng(0)
    sets = [
        from_arrays(rng.integers(0, 255, (8, 6, 6)).astype(np.uint8), [0, 1] * 4),
        from_arrays(["a good text", "another bad one", "good and bad"], ["x", "y", "x"], task="text"),
        from_arrays([rng.normal(size=900), rng.normal(size=700)], ["x", "y"], rate=4000),
        table(),
    ]
    for dataset in sets:
        encoder = learn_encoder(dataset, np.arange(len(dataset)), seconds=60.0)
        same(encoder.encode(dataset), again(encoder, dataset.task).encode(dataset))
        shapes = [part.shape[1:] for part in np.atleast_1d(encoder.example(3)) if isinstance(part, torch.Tensor)]
        assert all(len(shape) for shape in shapes)


def test_images_become_smaller_where_time_is_short():
    images = np.random.default_rng(0).integers(0, 255, (4, 3, 100, 80)).astype(np.uint8)
    dataset = Dataset("image", images)
    short, long = ImageEncoder.learn(dataset, seconds=60.0), ImageEncoder.learn(dataset, seconds=1e6)
    assert short.encode(dataset).shape == (4, 3, 32, 26)
    assert long.encode(dataset).shape == (4, 3, 100, 80)
    assert "made smaller" in short.notes[0]
    assert float(long.encode(dataset).max()) <= 1.0
    with pytest.raises(DataError, match=r"need the shape \(n, 3, height, width\)"):
        short.encode(Dataset("image", images[:, :1]))


def test_the_loudest_part_of_a_long_sound_is_kept():
    quiet, loud = np.zeros(4000, np.float32), np.ones(1000, np.float32)
    encoder = SoundEncoder(4000, 1000)
    waves = encoder.encode(Dataset("audio", [np.concatenate([quiet, loud, quiet]), loud[:10]], rate=4000))
    assert waves.shape == (2, 1000)
    assert float(waves[0].sum()) == 1000.0
    assert float(waves[1].sum()) == 10.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's 42!", ["it's", "42", "!"]),
        ("Größe, ÄRGER", ["größe", ",", "ärger"]),
        ("我爱你 ok", ["我", "爱", "你", "ok"]),
        ("", []),
    ],
)
def test_words_are_found_in_any_script(text, words):
    assert words_of(text) == words


@given(st.lists(st.text(alphabet="abc ,.", min_size=1), min_size=1, max_size=8))
def test_characters_are_written_as_they_were_read(texts):
    vocabulary = Vocabulary.learn(texts, special=4, characters=True)
    assert [vocabulary.decode(vocabulary.encode(text)) for text in texts] == texts


@pytest.mark.parametrize(
    "text", ["Ich bin hier.", "A well-known fact: 3.5 (or so)!", "don't  'quote' me", "我爱 你 OK", "", "?"]
)
def test_texts_to_be_written_keep_case_and_blanks(text):
    vocabulary = Vocabulary.learn([text, "and more"], special=4, exact=True)
    back = Vocabulary.of(json.loads(json.dumps(vocabulary.state())))
    assert back.decode(back.encode(text)) == " ".join(text.split())


@given(st.lists(st.text(alphabet="aB 9.,-_'我ß"), min_size=1, max_size=5))
def test_known_texts_are_written_as_they_are(texts):
    vocabulary = Vocabulary.learn(texts, special=4, exact=True)
    assert [vocabulary.decode(vocabulary.encode(t)) for t in texts] == [" ".join(t.split()) for t in texts]


def test_unknown_words_are_one_token_and_padding_is_zero():
    dataset = from_arrays(["red green", "green blue sky here"], ["a", "b"], task="text")
    encoder = TextEncoder.learn(dataset)
    tokens = encoder.encode(from_arrays(["red violet"], task="text"))
    assert tokens[0, 1] == 1
    assert tokens[0, 2:].tolist() == [0] * (encoder.length - 2)


def test_large_numbers_lose_nothing_in_float32():
    seconds = 1.7e9 + np.arange(60.0)
    encoder = TableEncoder.learn(table(when=seconds))
    numbers, _ = encoder.encode(table(when=seconds))
    assert len(torch.unique(numbers[:, 1])) == 60


def test_columns_that_say_nothing_are_left_out_and_told():
    names = np.array([f"row {n}" for n in range(60)], dtype=object)
    encoder = TableEncoder.learn(table(one=np.ones(60), name=names))
    assert [name for name, *_ in encoder.numbers] == ["size"]
    assert [name for name, _ in encoder.categories] == ["hue"]
    assert "one is constant and name has a new value in every row" in encoder.notes[0]
    with pytest.raises(DataError, match="no column is left"):
        TableEncoder.learn(Dataset("tabular", {"one": np.ones(6)}, np.array([0, 1] * 3), (0, 1)))


def test_a_missing_value_that_goes_with_the_target_gets_a_column():
    dataset = table()
    gone = np.where(dataset.labels() == 1, np.nan, np.arange(60.0))
    by_chance = np.where(np.arange(60) % 5 == 0, np.nan, np.arange(60.0) ** 2)
    told = TableEncoder.learn(Dataset("tabular", {"gone": gone, "chance": by_chance}, dataset.targets, (0, 1)))
    assert told.missing == ("gone",)
    assert told.encode(Dataset("tabular", {"gone": gone, "chance": by_chance})).shape == (60, 3)


@pytest.mark.parametrize("labels", [["a", "b", "a"], [-3, 7, -3], [True, False, True], np.array([3, 1, 3], np.int8)])
def test_labels_survive_json(labels):
    targets = learn_targets(from_arrays(np.arange(6.0).reshape(3, 2), labels, goal="classes"))
    back = targets_of(json.loads(json.dumps(targets.state())))
    dataset = from_arrays(np.arange(6.0).reshape(3, 2), labels, goal="classes")
    codes = back.encode(dataset)
    hot = torch.nn.functional.one_hot(codes).numpy()
    assert back.decode(hot).tolist() == list(labels)


@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=20, unique=True))
def test_numbers_survive_their_scale(values):
    y = np.array(values)
    targets = learn_targets(Dataset("tabular", {"x": y}, y))
    encoded = targets.encode(Dataset("tabular", {"x": y}, y)).double().numpy()
    np.testing.assert_allclose(targets.decode(encoded), y, atol=1e-5 * max(np.ptp(y), 1e-9), rtol=1e-5)
    np.testing.assert_allclose(targets.units(encoded), targets.decode(encoded), rtol=1e-6, atol=1e-6 * np.ptp(y))


def test_skewed_numbers_are_learned_by_their_logarithm_and_stay_near_the_known():
    y = np.exp(np.random.default_rng(0).normal(size=300) * 1.5 + 5)
    targets = learn_targets(Dataset("tabular", {"x": y}, y))
    assert targets.logarithm
    assert targets.decode(np.array([50.0]))[0] <= 3.0 * y.max()
    assert targets.decode(np.array([-50.0]))[0] > 0.0


def test_a_label_that_is_not_known_is_named():
    targets = learn_targets(from_arrays(np.eye(3), ["a", "b", "a"]))
    with pytest.raises(DataError, match="row 1 has the label 'z'"):
        targets.encode(from_arrays(np.eye(2), ["a", "z"]))


def test_a_zero_that_training_has_not_seen_is_not_infinitely_far_away():
    x, y = np.zeros((200, 1)), np.exp(8.0 + 1.5 * np.random.default_rng(0).normal(size=200))
    targets = learn_targets(from_arrays(x, y, goal="number"))
    assert targets.logarithm
    later = targets.encode(from_arrays(np.zeros((2, 1)), [0.0, 3000.0], goal="number"))
    assert later.abs().max() < 10.0
    assert targets.units(later)[0] == pytest.approx(targets.low, rel=1e-4)
