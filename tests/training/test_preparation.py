"""What is done to inputs: learned on training data only, the same for everything, and it can be sent to a worker."""

import pickle

import pytest
import torch

from luthier.errors import SettingError
from luthier.training.preparation import preparation

IMAGES = torch.rand(30, 2, 6, 6, generator=torch.Generator().manual_seed(0)) * torch.linspace(1, 3, 6) + 0.5


def scaled(kind, x=IMAGES):
    return preparation("image", {"scaling": kind}, IMAGES)(x)


@pytest.mark.parametrize(("kind", "axes"), [("channel", (0, 2, 3)), ("pixel", (0,)), ("image", (1, 2, 3))])
def test_each_scaling_of_images_centers_what_it_is_named_for(kind, axes):
    out = scaled(kind)
    torch.testing.assert_close(out.mean(axes), torch.zeros_like(out.mean(axes)), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.std(axes), torch.ones_like(out.std(axes)), atol=1e-4, rtol=0)


def test_the_scaling_of_single_images_takes_brightness_and_contrast_away():
    torch.testing.assert_close(scaled("image", 3.0 * IMAGES + 1.0), scaled("image"), atol=1e-4, rtol=1e-4)


def test_no_scaling_leaves_images_alone():
    assert torch.equal(scaled("none"), IMAGES)


@pytest.mark.parametrize(
    ("task", "config", "x"),
    [
        ("image", {}, IMAGES),
        ("audio", {"rate": 4000, "mels": 16, "window_ms": 25.0, "hop_ms": 10.0}, torch.randn(5, 2000)),
        ("text", {}, torch.ones(3, 4).long()),
        ("tabular", {"scaling": "quantile"}, (torch.randn(20, 3), torch.ones(20, 1).long())),
    ],
)
def test_a_preparation_can_be_pickled(task, config, x):
    prepare = preparation(task, config, x)
    again = pickle.loads(pickle.dumps(prepare))
    few = tuple(part[:3] for part in x) if isinstance(x, tuple) else x[:3]
    for one, other in zip(prepare(few), again(few), strict=True):
        assert torch.equal(one, other)


def test_an_unknown_scaling_is_told():
    with pytest.raises(SettingError, match="did you mean 'pixel'"):
        scaled("pixels")
