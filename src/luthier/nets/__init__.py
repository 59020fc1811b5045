"""Networks for images, text, audio and tables, one file each, in PyTorch (floor 5: nobody inside imports them)."""

from luthier.errors import MissingExtra

try:
    import torch as _torch  # noqa: F401 - asked for here, so that every module below can take it for granted
except ImportError:
    raise MissingExtra("PyTorch", "torch") from None

from luthier.nets.audio import AudioNet
from luthier.nets.hierarchical import HierarchicalSoftmax
from luthier.nets.init import initialize
from luthier.nets.logmel import LogMel
from luthier.nets.mlp import MLP
from luthier.nets.normalized_head import NormalizedHead
from luthier.nets.resnet import ResNet
from luthier.nets.seq2seq import Seq2Seq
from luthier.nets.tabular import TabularNet
from luthier.nets.text import TextNet
from luthier.nets.vgg import VGG

__all__ = [
    "MLP", "VGG", "AudioNet", "HierarchicalSoftmax", "LogMel", "NormalizedHead", "ResNet", "Seq2Seq", "TabularNet",
    "TextNet", "initialize",
]  # fmt: skip
