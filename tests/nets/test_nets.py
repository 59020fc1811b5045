"""What every network promises: its output's shape, gradients everywhere, and its parameters' effects."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from luthier.errors import SettingError
from luthier.nets import MLP, VGG, AudioNet, LogMel, ResNet, Seq2Seq, TabularNet, TextNet
from luthier.nets.activation import ACTIVATIONS
from luthier.nets.norm import NORMS


def tokens(*shape, high=20):
    return torch.randint(3, high, shape, generator=torch.Generator().manual_seed(0))


IMAGE, SOUND = torch.randn(4, 1, 12, 12), torch.randn(4, 16, 30)
NETS = {
    "mlp": (lambda **o: MLP(12, 3, width=8, **o), (torch.randn(4, 12),)),
    "vgg": (lambda **o: VGG((1, 12, 12), 3, width=8, **o), (IMAGE,)),
    "resnet": (lambda **o: ResNet((1, 12, 12), 3, width=8, **o), (IMAGE,)),
    "audio1": (lambda **o: AudioNet(16, 3, dims=1, width=8, **o), (SOUND,)),
    "audio2": (lambda **o: AudioNet(16, 3, dims=2, width=8, **o), (SOUND,)),
    "tabular": (lambda **o: TabularNet(5, [3, 20], 3, width=8, **o), (torch.randn(4, 5), tokens(4, 2, high=4) - 3)),
    "pool": (lambda **o: TextNet(20, 3, width=8, **o), (tokens(4, 6),)),
    "gru": (lambda **o: TextNet(20, 3, kind="gru", width=8, **o), (tokens(4, 6),)),
    "transformer": (lambda **o: TextNet(20, 3, kind="transformer", width=8, **o), (tokens(4, 6),)),
}
NORMED = ("mlp", "vgg", "resnet", "audio1", "audio2", "tabular")


@pytest.mark.parametrize("name", NETS)
def test_every_network_gives_a_score_for_each_class_and_trains_all_of_its_weights(name):
    make, inputs = NETS[name]
    net = make()
    out = net(*inputs)
    assert out.shape == (4, 3)
    out.square().sum().backward()
    still = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not still


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("init", ["normal", "xavier", "he", "orthogonal", "default"])
def test_the_same_seed_gives_the_same_network_and_evaluation_repeats_itself(name, init):
    make, inputs = NETS[name]
    outs = []
    for _ in range(2):
        torch.manual_seed(3)
        net = make(init=init, dropout=0.5).eval()
        outs += [net(*inputs), net(*inputs)]
    assert all(torch.equal(outs[0], out) for out in outs)


@pytest.mark.parametrize("name", NORMED)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("place", ["before", "after"])
def test_every_normalization_fits_every_network_before_and_after_the_activation(name, norm, place):
    make, inputs = NETS[name]
    net = make(norm=norm, norm_place=place, norm_momentum=0.3)
    loss = net(*inputs).square().sum()
    loss.backward()
    assert loss.isfinite()
    assert net.eval()(*inputs).isfinite().all()


@pytest.mark.parametrize("name", NORMED)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_fits_every_network(name, activation):
    make, inputs = NETS[name]
    assert make(activation=activation)(*inputs).isfinite().all()


def test_the_norm_stands_where_it_was_asked_to():
    def kinds(place):
        return [type(m) for m in VGG((1, 8, 8), 2, depth=1, norm_place=place).layers][:3]

    assert kinds("before") == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert kinds("after") == [nn.Conv2d, nn.ReLU, nn.BatchNorm2d]


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_the_depth_of_an_mlp_counts_its_hidden_layers(depth):
    linears = [m for m in MLP(5, 2, depth=depth, width=7).modules() if isinstance(m, nn.Linear)]
    assert len(linears) == depth + 1
    assert linears[-1].out_features == 2


@pytest.mark.parametrize("net", [VGG, ResNet])
@pytest.mark.parametrize("side", [1, 5, 28])
def test_deep_convolutional_networks_take_small_images(net, side):
    assert net((1, side, side), 2, depth=4, width=4, pool=3, kernel=5).eval()(torch.zeros(2, 1, side, side)).shape == (
        2,
        2,
    )


def test_a_new_residual_block_passes_its_input_on():
    block = ResNet((8, 6, 6), 2, depth=1, width=8).layers[3]
    x = torch.rand(2, 8, 6, 6)  # not negative, so the last activation passes it on
    assert torch.allclose(block.eval()(x), x, atol=1e-6)


def test_without_residual_the_input_is_not_added():
    block = ResNet((8, 6, 6), 2, depth=1, width=8, residual=False).layers[3].eval()
    nn.init.zeros_(block.second[0].weight)
    assert not block(torch.rand(2, 8, 6, 6)).any()


def test_features_and_categories_both_reach_the_output_of_a_tabular_network():
    torch.manual_seed(0)  # of others, all eight units may be dead
    net = TabularNet(2, [4], 1, width=8).eval()
    numbers, codes = torch.zeros(1, 2), torch.tensor([[1]])
    assert net(numbers, codes) != net(numbers + 1, codes)
    assert net(numbers, codes) != net(numbers, codes + 1)


@pytest.mark.parametrize("kind", ["pool", "gru", "transformer"])
@pytest.mark.parametrize("depth", [1, 2])
def test_padding_does_not_change_what_a_text_gives(kind, depth):
    net = TextNet(20, 3, kind=kind, width=8, depth=depth).eval()
    short, long = tokens(1, 4), tokens(1, 9)
    together = torch.cat([torch.cat([short, torch.zeros(1, 5, dtype=torch.long)], 1), long])
    assert torch.allclose(net(together), torch.cat([net(short), net(long)]), atol=1e-5)


@pytest.mark.parametrize("kind", ["pool", "gru", "transformer"])
def test_an_empty_text_is_no_accident(kind):
    net = TextNet(20, 3, kind=kind, width=8)
    out = net(torch.zeros(2, 5, dtype=torch.long))
    out.sum().backward()
    assert out.isfinite().all()
    assert all(p.grad.isfinite().all() for p in net.parameters())


def test_a_gru_and_a_transformer_know_the_order_and_pooling_does_not():
    x = tokens(1, 6)
    for kind, knows in (("pool", False), ("gru", True), ("transformer", True)):
        net = TextNet(20, 3, kind=kind, width=8).eval()
        assert torch.allclose(net(x), net(x.flip(1)), atol=1e-5) is not knows


def test_padding_does_not_change_what_is_written():
    net = Seq2Seq(20, 15, width=16, heads=2).eval()
    short, long, target = tokens(1, 4), tokens(1, 9), tokens(1, 5, high=15)
    together = torch.cat([torch.cat([short, torch.zeros(1, 5, dtype=torch.long)], 1), long])
    scores = net(together, target.expand(2, -1))
    assert torch.allclose(scores, torch.cat([net(short, target), net(long, target)]), atol=1e-5)
    assert torch.equal(net.write(together, 6)[:1], net.write(short, 6))


def test_the_decoder_does_not_see_the_future():
    net = Seq2Seq(20, 15, width=16, heads=2).eval()
    source, target = tokens(1, 4), tokens(1, 6, high=15)
    other = target.clone()
    other[:, 3:] = 3 + (other[:, 3:] - 2) % 12
    before, after = net(source, target), net(source, other)
    assert torch.allclose(before[:, :3], after[:, :3], atol=1e-6)
    assert not torch.allclose(before[:, 3:], after[:, 3:])


def test_writing_step_by_step_gives_what_the_scores_of_the_whole_say():
    net = Seq2Seq(20, 15, width=16, heads=2).eval()
    source = tokens(3, 4)
    written = net.write(source, 5)
    begun = torch.cat([torch.ones(3, 1, dtype=torch.long), written[:, :-1]], 1)
    likeliest = net(source, begun).argmax(-1)
    ended = (written == 2).cumsum(1) - (written == 2).long() > 0
    assert torch.equal(written, likeliest.masked_fill(ended, 0))


def test_longer_sound_is_welcome():
    net = AudioNet(16, 3, width=8).eval()
    assert net(torch.randn(2, 16, 77)).shape == (2, 3)


def test_a_tone_is_loudest_in_the_band_of_its_pitch():
    mel = LogMel(8000, mels=32)
    middles = (mel.bank * torch.arange(mel.bank.shape[1])).sum(1) / mel.bank.sum(1) * 8000 / mel.fft  # (32,) Hz
    seconds = torch.arange(8000) / 8000
    for band in (5, 15, 28):
        wave = torch.sin(2 * torch.pi * middles[band] * seconds)
        assert abs(int(mel(wave[None])[0, :, 50].argmax()) - band) <= 1


def test_the_bands_add_up_to_one_between_the_first_and_last_middle():
    bank = LogMel(16000, mels=40).bank
    inside = slice(int(bank[0].argmax()) + 1, int(bank[-1].argmax()))
    assert torch.allclose(bank.sum(0)[inside], torch.ones(1), atol=1e-5)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: MLP(3, 2, activation="rel"), "did you mean 'relu'"),
        (lambda: MLP(3, 2, norm="bach"), "did you mean 'batch'"),
        (lambda: MLP(3, 2, norm="batch", norm_place="inside"), "before"),
        (lambda: MLP(3, 2, init="xavir"), "did you mean 'xavier'"),
        (lambda: VGG((1, 8, 8), 2, kernel=4), "odd"),
        (lambda: ResNet((1, 8, 8), 2, kernel=4), "odd"),
        (lambda: AudioNet(8, 2, dims=3), "dims is 1 or 2"),
        (lambda: TextNet(9, 2, kind="gur"), "did you mean 'gru'"),
        (lambda: TextNet(9, 2, kind="gru", width=7), "even width"),
        (lambda: TextNet(9, 2, kind="transformer", width=10, heads=4), "use 8"),
        (lambda: TextNet(9, 2, kind="transformer", length=3)(tokens(1, 4, high=9)), "length=3"),
        (lambda: LogMel(8000, mels=4000), "fewer mels"),
    ],
)
def test_a_wrong_setting_is_told_with_the_way_out(make, told):
    with pytest.raises(SettingError, match=told):
        make()


@pytest.mark.parametrize("package", ["nets", "training"])
def test_without_pytorch_the_line_to_type_is_told(package):
    code = f"import sys; sys.modules['torch'] = None\nimport luthier.{package}"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr
    assert 'MissingExtra: this needs PyTorch: pip install "luthier[torch]"' in told
