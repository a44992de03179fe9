"""P-P plots as SVG, written by hand: points, a diagonal and a legend need no library."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

SIDE = 360.0
"""Length of the axes [px]."""

MARGIN = 56.0
"""Room around them for numbers and titles [px]."""

LEGEND_WIDTH = 250.0
"""Room for the legend [px]."""

POINTS = 200
"""Points of a curve at most: the eye sees no more."""

COLOURS = ("#222222", "#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Colours that can be told apart without red and green; Okabe and Ito (2008)."""

SMALLEST_P = 1e-3
"""Begin of the axes, which are logarithmic: small probabilities are those that matter."""


@dataclass(frozen=True, eq=False, slots=True)
class Curve:
    """One sample of a P-P plot."""

    label: str
    p_chance: FloatArray
    """(n,) chance probabilities as worked out."""
    is_dashed: bool = False


def pp_plot(title: str, curves: tuple[Curve, ...]) -> str:
    """Return an SVG: share of trials at or below each chance probability, against that probability.

    Parameters
    ----------
    curves : at most as many solid ones as there are `COLOURS`; dashed ones have the colour of the first.
    """
    width, height = SIDE + 2 * MARGIN + LEGEND_WIDTH, SIDE + 2 * MARGIN
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" font-family="sans-serif" '
            'font-size="12">'
        ),
        f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>',
        f'<text x="{MARGIN:g}" y="{MARGIN / 2:g}" font-size="14">{_text(title)}</text>',
        *_axes(),
    ]
    for row, curve in enumerate(curves):
        parts += _curve(curve, COLOURS[0 if curve.is_dashed else row % len(COLOURS)], row)
    return "\n".join([*parts, "</svg>", ""])


def _axes() -> list[str]:
    """Return frame, diagonal, ticks and titles."""
    low, high = MARGIN, MARGIN + SIDE
    parts = [
        f'<rect x="{low:g}" y="{low:g}" width="{SIDE:g}" height="{SIDE:g}" fill="none" stroke="#888888"/>',
        f'<line x1="{low:g}" y1="{high:g}" x2="{high:g}" y2="{low:g}" stroke="#bbbbbb"/>',
    ]
    for tick in 10.0 ** np.arange(round(np.log10(SMALLEST_P)), 1):
        x = float(_x(np.array([tick]))[0])
        parts += [
            f'<text x="{x:.1f}" y="{high + 18:g}" text-anchor="middle">{tick:g}</text>',
            f'<text x="{low - 6:g}" y="{low + high - x + 4:.1f}" text-anchor="end">{tick:g}</text>',
        ]
    middle = MARGIN + SIDE / 2
    return [
        *parts,
        f'<text x="{middle:g}" y="{high + 38:g}" text-anchor="middle">chance probability as worked out</text>',
        (
            f'<text transform="translate(16 {middle:g}) rotate(-90)" text-anchor="middle">share of trials at or below'
            "</text>"
        ),
    ]


def _x(p_chance: FloatArray) -> FloatArray:
    """Return where probabilities lie on the horizontal axis [px]; those below it lie at its begin."""
    decades = np.log10(np.maximum(p_chance, SMALLEST_P) / SMALLEST_P)
    return np.asarray(MARGIN + SIDE * decades / -np.log10(SMALLEST_P), dtype=np.float64)


def _curve(curve: Curve, colour: str, row: int) -> list[str]:
    """Return one curve and its line in the legend."""
    n = len(curve.p_chance)
    legend_x, legend_y = 2 * MARGIN + SIDE - 24, MARGIN + 14 + 18 * row
    dash = ' stroke-dasharray="5 4"' if curve.is_dashed else ""
    style = f'fill="none" stroke="{colour}" stroke-width="1.6"{dash}'
    parts = [
        f'<line x1="{legend_x:g}" y1="{legend_y - 4:g}" x2="{legend_x + 22:g}" y2="{legend_y - 4:g}" {style}/>',
        f'<text x="{legend_x + 28:g}" y="{legend_y:g}">{_text(curve.label)}</text>',
    ]
    if n == 0:
        return parts
    ranks = np.unique(np.geomspace(1.0, n, POINTS).round().astype(np.int64))
    x, y = _x(np.sort(curve.p_chance)[ranks - 1]), 2 * MARGIN + SIDE - _x(ranks / n)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    return [*parts, f'<polyline points="{points}" {style}/>']


def _text(text: str) -> str:
    """Return text with what SVG takes for markup made harmless."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
