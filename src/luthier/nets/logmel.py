"""Log-mel features: sound as an image of loudness over time and pitch, its sizes as hyperparameters.

Pitch is measured in mels, m = 2595 log10(1 + f / 700) (O'Shaughnessy 1987), in which equal steps sound equal.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from luthier.errors import SettingError


class LogMel(nn.Module):  # type: ignore[misc] # torch has no types here
    """Turn waves into the logarithm of the energy in bands of pitch.

    Parameters
    ----------
    rate
        Samples of a second.
    mels
        Bands.
    window_ms, hop_ms
        Length of a frame and distance between two, in milliseconds.
    low_hz, high_hz
        Where the bands begin and end; by default half the rate.

    Raises
    ------
    SettingError
        If the bands are too narrow for the frame: one of them would hear nothing.

    Examples
    --------
    >>> import torch
    >>> LogMel(8000, mels=40)(torch.zeros(2, 8000)).shape
    torch.Size([2, 40, 101])
    """

    def __init__(
        self,
        rate: int,
        *,
        mels: int = 40,
        window_ms: float = 25.0,
        hop_ms: float = 10.0,
        low_hz: float = 20.0,
        high_hz: float | None = None,
    ) -> None:
        super().__init__()
        self.window = round(rate * window_ms / 1000)
        self.hop = max(round(rate * hop_ms / 1000), 1)
        self.fft = 2 ** math.ceil(math.log2(self.window))
        bank = mel_bank(rate, self.fft, mels, low_hz=low_hz, high_hz=high_hz or rate / 2)
        while not bool((bank.sum(1) > 0).all()) and self.fft < 16 * self.window:
            self.fft *= 2  # padded with zeros, so that the lowest bands hear something
            bank = mel_bank(rate, self.fft, mels, low_hz=low_hz, high_hz=high_hz or rate / 2)
        if not bool((bank.sum(1) > 0).all()):
            raise SettingError(
                f"{mels} bands are too narrow for {window_ms} ms frames: use fewer mels or longer frames"
            )
        self.register_buffer("bank", bank, persistent=False)
        self.register_buffer("taper", torch.hann_window(self.window), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:  # (B, samples) -> (B, mels, 1 + samples // hop)
        spectrum = torch.stft(
            wave, self.fft, self.hop, self.window, self.taper, pad_mode="constant", return_complex=True
        )  # (B, 1 + fft / 2, frames)
        energy = self.bank @ spectrum.abs().square()
        return (energy + 1e-6).log()


def mel_bank(rate: int, fft: int, mels: int, *, low_hz: float, high_hz: float) -> Tensor:
    """Return triangles, equally wide in mels, each rising from the middle of the one before to its own.

    Parameters
    ----------
    rate
        Samples of a second.
    fft
        Length of the transform.
    mels
        Bands.
    low_hz, high_hz
        The lower end of the first and the upper end of the last band.

    Returns
    -------
    (mels, 1 + fft // 2) float tensor
        Weight of each frequency in each band; between the first and the last middle, they add up to one.
    """
    frequencies = torch.linspace(0.0, rate / 2, 1 + fft // 2, dtype=torch.float64)
    ends = torch.tensor([low_hz, high_hz], dtype=torch.float64)
    low, high = (2595.0 * torch.log10(1.0 + ends / 700.0)).tolist()
    middles = 700.0 * (10.0 ** (torch.linspace(low, high, mels + 2, dtype=torch.float64) / 2595.0) - 1.0)
    width = middles.diff()  # (mels + 1,)
    rising = (frequencies - middles[:-2, None]) / width[:-1, None]  # (mels, 1 + fft // 2)
    falling = (middles[2:, None] - frequencies) / width[1:, None]
    return torch.minimum(rising, falling).clamp(min=0.0).float()
