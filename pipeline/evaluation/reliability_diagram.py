"""A reliability diagram as one SVG file: no script, no font, no address outside itself."""

from __future__ import annotations

from html import escape

from pipeline.evaluation.reliability import Reliability, ReliabilityBin

__all__ = ["reliability_svg"]

_SIZE = 480
_LEFT, _TOP, _PLOT = 64, 56, 360
_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
# Colors follow the reader's light or dark scheme, also inside an <img>.
_STYLE = """
svg { color-scheme: light dark; font: 13px system-ui, sans-serif; }
.ground { fill: #ffffff; } text { fill: #1f2328; } .quiet { fill: #59636e; }
.grid { stroke: #d1d9e0; } .ideal { stroke: #59636e; stroke-dasharray: 4 4; }
.interval { stroke: #0969da; stroke-width: 2; } .bin { fill: #0969da; }
.curve { stroke: #0969da; fill: none; stroke-opacity: .5; }
@media (prefers-color-scheme: dark) {
.ground { fill: #0d1117; } text { fill: #f0f6fc; } .quiet { fill: #9198a1; }
.grid { stroke: #3d444d; } .ideal { stroke: #9198a1; }
.interval { stroke: #4493f8; } .bin { fill: #4493f8; } .curve { stroke: #4493f8; }
}"""


def reliability_svg(reliability: Reliability, name: str) -> str:
    """Draw mean probability against the share of relevant hits, with Wilson's intervals.

    Each bin tells its numbers as a tooltip, and all of them are in the description for those who
    cannot see the picture.

    Parameters
    ----------
    name
        What was measured; stands in the heading.

    Returns
    -------
    str
        A whole SVG document.
    """
    figures = f"expected calibration error {reliability.ece:.3f}"
    if reliability.ece_cross_validated is not None:
        figures += f", recalibrated {reliability.ece_cross_validated:.3f}"
    told = "; ".join(_told(one) for one in reliability.bins)
    points = " ".join(f"{_x(one.predicted)},{_y(one.observed)}" for one in reliability.bins)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_SIZE} {_SIZE}" role="img"'
        ' aria-labelledby="title description">',
        f'<title id="title">Reliability of {escape(name)}</title>',
        f'<desc id="description">{escape(figures)}. {escape(told)}.</desc>',
        f"<style>{_STYLE}\n</style>",
        '<rect class="ground" width="100%" height="100%"/>',
        f'<text x="{_LEFT}" y="24" font-weight="600">{escape(name)}</text>',
        f'<text class="quiet" x="{_LEFT}" y="43">{escape(figures)}</text>',
        *(_grid(tick) for tick in _TICKS),
        f'<line class="ideal" x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}"/>',
        f'<polyline class="curve" points="{points}"/>',
        *(_mark(one) for one in reliability.bins),
        f'<text x="{_x(0.5)}" y="{_SIZE - 20}" text-anchor="middle">mean probability of a bin'
        f" of {_sizes(reliability)} hits</text>",
        f'<text x="18" y="{_y(0.5)}" text-anchor="middle" '
        f'transform="rotate(-90 18 {_y(0.5)})">share that is relevant</text>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _grid(tick: float) -> str:
    return (
        f'<line class="grid" x1="{_x(tick)}" y1="{_y(0)}" x2="{_x(tick)}" y2="{_y(1)}"/>'
        f'<line class="grid" x1="{_x(0)}" y1="{_y(tick)}" x2="{_x(1)}" y2="{_y(tick)}"/>'
        f'<text class="quiet" x="{_x(tick)}" y="{_TOP + _PLOT + 18}" text-anchor="middle">'
        f"{tick:g}</text>"
        f'<text class="quiet" x="{_LEFT - 8}" y="{_y(tick) + 4}" text-anchor="end">{tick:g}</text>'
    )


def _mark(one: ReliabilityBin) -> str:
    across = _x(one.predicted)
    return (
        f"<g><title>{escape(_told(one))}</title>"
        f'<line class="interval" x1="{across}" y1="{_y(one.low)}" x2="{across}" '
        f'y2="{_y(one.high)}"/>'
        f'<circle class="bin" cx="{across}" cy="{_y(one.observed)}" r="5"/></g>'
    )


def _told(one: ReliabilityBin) -> str:
    return (
        f"probability {one.predicted:.3f}: {one.n_relevant:,} of {one.n_hits:,} hits relevant, "
        f"{one.observed:.3f} [{one.low:.3f}, {one.high:.3f}]"
    )


def _sizes(reliability: Reliability) -> str:
    sizes = [one.n_hits for one in reliability.bins] or [0]
    return " to ".join(f"{size:,}" for size in sorted({min(sizes), max(sizes)}))


def _x(share: float) -> float:
    return round(_LEFT + share * _PLOT, 1)


def _y(share: float) -> float:
    return round(_TOP + (1 - share) * _PLOT, 1)
