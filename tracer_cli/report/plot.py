"""The frontier as an SVG's coordinates: coverage to the right, what the scope certifies upwards."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tracer_cli.report.analysis import FEWEST_HANDLED
from tracer_cli.report.words import CERTIFIES, percent

WIDTH, HEIGHT = 720, 380
LEFT, RIGHT, TOP, BOTTOM = 72, 30, 16, 30
ROOM = 90  # for the name of a point


def frontier_plot(
    curves: dict[str, list[dict[str, float]]], targets: list[dict[str, Any]], deployed: float, scope: str
) -> dict[str, Any]:
    """Everything the template draws, in pixels: axes with ticks, one polyline per curve, a point per target.

    targets: with their shares, as of `analysis.certified_shares`.
    """
    height = "agreement" if scope == "handled" else "parity"
    values = [point[height] for points in curves.values() for point in points if point["coverage"] >= FEWEST_HANDLED]
    low: float = min([0.8, *values, *(t["target"] for t in targets)])
    step = 0.05 if low >= 0.6 else 0.1
    steps = math.ceil((1 - low) / step - 1e-9)
    floor = 1 - steps * step

    def x(coverage: float) -> float:
        return round(LEFT + coverage * (WIDTH - LEFT - RIGHT), 1)

    def y(agreement: float) -> float:
        share = (max(agreement, floor) - floor) / (1 - floor)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    ticks = [1 - i * step for i in range(steps + 1)]
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "top": TOP,
        "bottom": HEIGHT - BOTTOM,
        "x_ticks": [{"at": x(i / 5), "text": f"{20 * i} %"} for i in range(6)],
        "y_ticks": [{"at": y(t), "text": f"{100 * t:.0f} %"} for t in ticks],
        "curves": [
            {"name": name, "points": " ".join(f"{x(p['coverage'])},{y(p[height])}" for p in points)}
            for name, points in curves.items()
        ],
        "targets": [_point(group, x, y, deployed, scope) for group in _at_one_place(targets)],
        "goal": y(deployed),
    }


def _at_one_place(targets: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The certified targets, those with the same threshold together."""
    groups: dict[float, list[dict[str, Any]]] = {}
    for target in targets:
        if target["certified"]:
            groups.setdefault(target["threshold"], []).append(target)
    return list(groups.values())


def _point(
    group: list[dict[str, Any]],
    x: Callable[[float], float],
    y: Callable[[float], float],
    deployed: float,
    scope: str,
) -> dict[str, Any]:
    first = group[0]
    name = ", ".join(f"{t['target']:g}" for t in group)
    at = x(first["coverage"])
    left = at > LEFT + ROOM  # below and to the left of a point there is no curve
    return {
        "x": at,
        "y": y(first["share"]),
        "text_x": at - 9 if left else at + 9,
        "anchor": "end" if left else "start",
        "bar": [y(bound) for bound in first["share_interval"]],
        "name": name,
        "deployed": deployed in [t["target"] for t in group],
        "title": f"target {name}: coverage {percent(first['coverage'])}, {CERTIFIES[scope]} {percent(first['share'])}",
    }
