"""Augmentation: what stays, what changes, and that the generator decides."""

import pytest
import torch

from luthier.training import augment


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images():
    return torch.rand(16, 3, 12, 10, generator=generator(9)) + 0.1


CHANGES = {
    "images": (lambda g: augment.images(images(), g, strength=1.0, mirror=True)),
    "crop": (lambda g: augment.crop(images(), 2, g)),
    "flip": (lambda g: augment.flip(images(), g)),
    "rotate": (lambda g: augment.rotate(images(), 20.0, g)),
    "erase": (lambda g: augment.erase(images(), g)),
    "spectrograms": (lambda g: augment.spectrograms(images()[:, 0], g)),
    "tokens": (lambda g: augment.tokens(torch.arange(40).view(4, 10), g, chance=0.5)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_generator_decides_and_shapes_stay(name):
    change = CHANGES[name]
    first, again, other = change(generator()), change(generator()), change(generator(1))
    assert torch.equal(first, again)
    assert first.shape == other.shape
    assert not torch.equal(first, other)
    assert first.isfinite().all()


def test_strength_zero_changes_nothing():
    assert torch.equal(augment.images(images(), generator(), strength=0.0), images())
    assert torch.equal(augment.crop(images(), 0, generator()), images())
    torch.testing.assert_close(augment.rotate(images(), 0.0, generator()), images())
    torch.testing.assert_close(augment.spectrograms(images()[:, 0], generator(), strength=0.0), images()[:, 0])
    x = torch.arange(10)[None]
    assert torch.equal(augment.tokens(x, generator(), chance=0.0), x)


def test_a_crop_is_a_shift_by_at_most_the_padding_and_all_shifts_occur():
    x = images()[:1].expand(200, -1, -1, -1)
    shifts = set()
    padded = torch.nn.functional.pad(x[0], (1, 1, 1, 1))
    for out in augment.crop(x, 1, generator()):
        found = [(i, j) for i in range(3) for j in range(3) if torch.equal(out, padded[:, i : i + 12, j : j + 10])]
        assert len(found) == 1
        shifts.add(found[0])
    assert len(shifts) == 9


def test_half_of_the_images_are_mirrored():
    x = images()[:1].expand(400, -1, -1, -1)
    same = (augment.flip(x, generator()) == x).all((1, 2, 3))
    assert 150 < int(same.sum()) < 250
    assert torch.equal(augment.flip(x, generator())[~same], x.flip(-1)[~same])


def test_turning_keeps_the_middle_and_moves_by_at_most_the_angle():
    x = torch.zeros(50, 1, 21, 21)
    x[:, :, 10, 10] = 1.0  # the middle
    x[:, :, 10, 20] = 1.0  # ten pixels to the right of it
    turned = augment.rotate(x, 30.0, generator())
    torch.testing.assert_close(turned[:, 0, 10, 10], torch.ones(50))
    rows = (turned[:, 0, :, 15:].sum(2) * torch.arange(21)).sum(1) / turned[:, 0, :, 15:].sum((1, 2))
    assert (rows - 10).abs().max() <= 10 * 0.5 + 0.6  # sin(30 degrees)
    assert (rows - 10).abs().max() > 3


def test_erasing_leaves_a_rectangle_of_zeros_in_as_many_images_as_asked_for():
    x = torch.ones(300, 2, 20, 20)
    out = augment.erase(x, generator(), chance=0.5, side=0.5)
    hit = (out == 0).any(-1).any(-1)[:, 0]
    assert 110 < int(hit.sum()) < 190
    for image in out[hit][:20]:
        rows, columns = (image[0] == 0).any(1), (image[0] == 0).any(0)
        assert ((image[0] == 0) == (rows[:, None] & columns)).all()
        assert 4 <= int(rows.sum()) <= 10
    assert not (augment.erase(x, generator(), chance=0.0) == 0).any()


def test_specaugment_hides_one_stretch_of_time_and_one_band_behind_the_mean():
    x = torch.rand(50, 40, 60, generator=generator(2))
    out = augment.spectrograms(x, generator(), strength=1.0)
    hidden = out != x
    torch.testing.assert_close(out[hidden], x.mean((1, 2), keepdim=True).expand_as(x)[hidden])
    bands, frames = hidden.all(2), hidden.all(1)
    assert (hidden == (bands[:, :, None] | frames[:, None, :])).all()
    assert bands.sum(1).max() <= 11
    assert frames.sum(1).max() <= 16


def test_tokens_are_dropped_at_the_rate_and_padding_never():
    x = torch.full((100, 50), 7)
    x[:, 30:] = 0
    out = augment.tokens(x, generator(), chance=0.2)
    assert float((out[:, :30] == 1).float().mean()) == pytest.approx(0.2, abs=0.03)
    assert not out[:, 30:].any()
