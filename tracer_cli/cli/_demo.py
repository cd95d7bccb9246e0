"""What the demo does and shows."""

from __future__ import annotations

import json
from pathlib import Path

from tracer_cli.api import FitConfig, fit
from tracer_cli.artifacts import read_json, write_text
from tracer_cli.cli._summary import console, cost_table, labels_table, policy_table, print_targets
from tracer_cli.config.schema import Cost
from tracer_cli.progress import automatic
from tracer_cli.report.analysis import cost_projection
from tracer_cli.runtime.router import load_router
from tracer_cli.traces import example

TARGET = 0.90
QUERIES = 5


def demo(rows: int, folder: Path) -> None:
    """Run everything in `folder` and print the outcome."""
    from rich.table import Table
    from rich.text import Text

    out = console()
    traces = list(example.generate(rows + QUERIES))
    path = folder / "traces.jsonl"
    write_text(path, "".join(json.dumps(trace, ensure_ascii=False) + "\n" for trace in traces[:rows]))
    out.print(Text(f"tracer demo: {rows} generated support messages with an LLM's labels\n", style="bold"))
    config = FitConfig(target_teacher_agreement=TARGET, project="demo")
    result = fit(path, folder / ".tracer", config=config, progress=automatic())
    out.print(Text(result.verdict + ".\n"))
    qualitative = read_json(folder / ".tracer" / "qualitative_report.json")
    out.print(policy_table(result.manifest, qualitative))
    print_targets(result.manifest, out)
    out.print()
    out.print(labels_table(qualitative))
    out.print()
    if result.deploy:
        router = load_router(folder / ".tracer")
        table = Table(title="Five live queries", title_justify="left", box=None)
        for name in ("query", "decision", "surrogate", "the teacher said"):
            table.add_column(name)
        for trace in traces[rows:]:
            answer = router.predict(trace["input"])
            table.add_row(
                Text(trace["input"][:60]), answer["decision"], Text(answer["label"] or "-"), Text(trace["teacher"])
            )
        out.print(table)
        out.print()
    out.print(cost_table(cost_projection(result.coverage if result.deploy else 0.0, **Cost().model_dump())))
