"""The figures as pictures: PNG to look at, SVG to put into a page. Needs matplotlib, in a folder of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from figures import Figure, number

_OURS = "lokiredis"


def draw(figures: Sequence[Figure], stem: Path) -> list[Path]:
    """One sheet for all loads in which several players took part; without matplotlib none, and a line that says so."""
    try:
        import matplotlib
    except ImportError:
        print("no plots: matplotlib is missing (pip install matplotlib)")
        return []
    matplotlib.use("Agg")
    from matplotlib import pyplot

    loads: dict[str, list[Figure]] = {}
    for figure in figures:
        if figure.target is None and "/" not in figure.name:
            loads.setdefault(f"{figure.load} ({figure.unit})", []).append(figure)
    shown = {
        load: found for load, found in loads.items() if _OURS in {figure.name for figure in found} and len(found) > 1
    }
    if not shown:
        return []
    columns = 3
    rows = -(-len(shown) // columns)
    sheet, axes = pyplot.subplots(rows, columns, figsize=(5 * columns, 0.6 + 2.6 * rows), squeeze=False)
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    for axis, (load, found) in zip(axes.flat, shown.items(), strict=False):
        ordered = sorted(found, key=lambda figure: figure.value)
        colors = ["#c33" if figure.name.startswith(_OURS) else "#889" for figure in ordered]
        bars = axis.barh([figure.name for figure in ordered], [figure.value for figure in ordered], color=colors)
        low = [max(figure.value - min(figure.rounds), 0) for figure in ordered]
        high = [max(max(figure.rounds) - figure.value, 0) for figure in ordered]
        axis.errorbar(
            [figure.value for figure in ordered], range(len(ordered)), xerr=[low, high], fmt="none", ecolor="#222", lw=1
        )
        box = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1}
        axis.bar_label(
            bars, [number(figure.value) for figure in ordered], label_type="center", fontsize=7, bbox=box, zorder=5
        )
        axis.set_title(load, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.margins(x=0.2)
    sheet.tight_layout()
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg")]
    for path in paths:
        sheet.savefig(path, dpi=110)
    pyplot.close(sheet)
    return paths
