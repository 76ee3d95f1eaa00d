"""House style applied to one axes at a time; nothing global is touched."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

__all__ = ["INK", "LINES", "MUTED", "new_axes", "tidy"]

INK = "#1b2733"
MUTED = "#5c6b7a"
# Okabe and Ito's colours, told apart by colour-blind readers and in grey print.
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def new_axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Axes given, or those of a new pyplot figure, which a notebook shows."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=size, layout="constrained")
    return figure.add_subplot()


def tidy(ax: Axes, *, grid: str | None = None, title_pad: float = 10.0, **labels: Any) -> None:
    """Quiet spines and ticks, and set ``title``, ``xlabel``, ``ylabel``."""
    for name in ("top", "right"):
        ax.spines[name].set_visible(False)
    for name in ("left", "bottom"):
        ax.spines[name].set_color(MUTED)
        ax.spines[name].set_linewidth(0.8)
    ax.tick_params(colors=INK, labelsize=9, width=0.8, length=3.5)
    ax.tick_params(which="minor", length=0)
    if grid:
        ax.grid(visible=True, axis=grid, color="#d8dee4", linewidth=0.7)  # type: ignore[arg-type]
        ax.set_axisbelow(True)
    if "title" in labels:
        ax.set_title(labels["title"], loc="left", fontsize=11.5, color=INK, fontweight="bold", pad=title_pad)
    if "xlabel" in labels:
        ax.set_xlabel(labels["xlabel"], fontsize=10, color=INK)
    if "ylabel" in labels:
        ax.set_ylabel(labels["ylabel"], fontsize=10, color=INK)
