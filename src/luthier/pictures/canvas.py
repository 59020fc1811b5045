"""What every picture is drawn on: a figure without global state, colors that the color-blind can tell apart, saving.

The colors are Okabe and Ito's (2008); past eight classes they come again in another lightness, and every picture also
names or marks what it colors.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.durable import write_whole
from luthier.errors import MissingExtra, SettingError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7A6A00", "#555555")
BLUE, ORANGE, RED, GRAY, INK = "#0072B2", "#E69F00", "#D55E00", "#8A8A8A", "#222222"
MARKERS = "osD^vPX*<>"
SMALL = 8.5  # points
FORMATS = ("png", "pdf", "svg", "jpg", "webp")


def canvas(width: float, height: float) -> Figure:
    """Make an empty figure, in inches, that belongs to no window and to no global list.

    Raises
    ------
    MissingExtra
        If matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("matplotlib", "plot") from None
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def plain(axes: Any, *, title: str = "", x: str = "", y: str = "") -> None:  # Any: matplotlib has no types here
    """Give axes their texts, and take away lines that say nothing."""
    axes.set_title(safe(title), fontsize=SMALL + 1.5, color=INK, loc="left")
    axes.set_xlabel(safe(x), fontsize=SMALL, color=INK)
    axes.set_ylabel(safe(y), fontsize=SMALL, color=INK)
    axes.tick_params(labelsize=SMALL - 0.5, colors=INK, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRAY)


def color(place: int) -> str:
    """Return the color of a class: eight, then the same lighter and darker."""
    from matplotlib.colors import to_hex, to_rgb

    turn, place = divmod(place, len(COLORS))
    mix = (0.0, 0.5, -0.4, 0.75, -0.65)[turn % 5]
    return str(to_hex([c + (1.0 - c) * mix if mix > 0 else c * (1.0 + mix) for c in to_rgb(COLORS[place])]))


def short(text: str, length: int = 18) -> str:
    """Cut a text that is too long to be drawn, and make it one line."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def safe(text: str) -> str:
    """Keep a dollar sign from starting a formula."""
    return text.replace("$", r"\$")


def save(figure: Figure, path: str | os.PathLike[str], *, dpi: int = 120) -> Path:
    """Write a figure, whole or not at all.

    Parameters
    ----------
    figure
        From any function of `luthier.pictures`.
    path
        Its suffix is the format: png, pdf, svg, jpg or webp; none means png. Missing folders are made.
    dpi
        Dots an inch.

    Returns
    -------
    Path
        Where it is.

    Raises
    ------
    SettingError
        If there is no such format.
    OSError
        If it cannot be written; a file that was there stays as it was.
    """
    path = Path(path)
    path = path if path.suffix else path.with_suffix(".png")
    kind = path.suffix[1:].lower()
    if kind not in FORMATS:
        raise SettingError(f"a picture is saved as {', '.join(FORMATS)}, got {path.name!r}")
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dpi, format=kind)
    return write_whole(path, buffer.getbuffer())
