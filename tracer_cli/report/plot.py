"""The frontier as an SVG's coordinates: coverage to the right, agreement upwards."""

from __future__ import annotations

from typing import Any

WIDTH, HEIGHT = 720, 380
LEFT, RIGHT, TOP, BOTTOM = 62, 36, 16, 48


def frontier_plot(
    curves: dict[str, list[dict[str, float]]], targets: list[dict[str, Any]], deployed: float
) -> dict[str, Any]:
    """Everything the template draws, in pixels: axes with ticks, one polyline per curve, a point per target."""
    values = [point["agreement"] for points in curves.values() for point in points if point["coverage"] >= 0.02]
    low = min([0.8, *values, *(t["target"] for t in targets)])
    floor = max(0.0, int(low * 20) / 20)

    def x(coverage: float) -> float:
        return round(LEFT + coverage * (WIDTH - LEFT - RIGHT), 1)

    def y(agreement: float) -> float:
        share = (max(agreement, floor) - floor) / (1 - floor)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    step = 0.05 if 1 - floor <= 0.4 else 0.1
    ticks = [round(floor + i * step, 2) for i in range(int((1 - floor) / step + 1e-9) + 1)]
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
            {"name": name, "points": " ".join(f"{x(p['coverage'])},{y(p['agreement'])}" for p in points)}
            for name, points in curves.items()
        ],
        "targets": [
            {
                "x": x(t["coverage"]),
                "y": y(t["agreement"]),
                "bar": [y(t["agreement_interval"][0]), y(t["agreement_interval"][1])],
                "name": f"{t['target']:g}",
                "deployed": t["target"] == deployed,
                "title": f"target {t['target']:g}: coverage {t['coverage']:.1%}, agreement {t['agreement']:.1%}",
            }
            for t in targets
            if t["certified"]
        ],
        "goal": y(deployed),
    }
