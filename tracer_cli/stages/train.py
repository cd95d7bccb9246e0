"""train: one zoo member's out-of-fold probabilities, and the model on all fit rows as ONNX."""

from __future__ import annotations

from tracer_cli.artifacts import Layout, replacing_folder, write_array, write_bytes, write_json
from tracer_cli.config.schema import Config
from tracer_cli.core import surrogates
from tracer_cli.errors import ConfigError, ModelError
from tracer_cli.progress import Progress, silent
from tracer_cli.stages import fit_rows
from tracer_cli.stages.fit_rows import FitRows


def run(layout: Layout, config: Config, model: str, progress: Progress = silent, rows: FitRows | None = None) -> None:
    """Train the zoo member with the short name `model`; writes oof.npy, model.onnx and meta.json.

    With evidence `crossfit` the model is the average of the fold models, which is what the out-of-fold rows measure.
    rows: what `fit_rows.read` gives, for a caller that trains several members.
    """
    names = config.slugs()
    if model not in names:
        raise ConfigError(f"no model {model!r} in the zoo of tracer.yaml; it has: {', '.join(names)}")
    spec = config.zoo[names[model]]
    rows = rows or fit_rows.read(layout, config)
    average = config.targets.evidence == "crossfit"
    try:
        with progress(f"train {names[model]}", config.split.folds + 1) as advance:
            result = surrogates.cross_fit(
                spec.kind, spec.model_dump(), rows.data, config.seed, on_fit=lambda: advance(1)
            )
        exported = surrogates.export(result.average if average else result.final, rows.data)
    except ModelError as error:
        raise ModelError(f"zoo model {names[model]!r}: {error}") from error
    agrees = result.out_of_fold.argmax(axis=1) == rows.data.labels
    with replacing_folder(layout.model(model)) as folder:
        write_array(folder / "oof.npy", result.out_of_fold)
        write_bytes(folder / "model.onnx", exported)
        write_json(
            folder / "meta.json",
            {
                "name": names[model],
                "kind": spec.kind,
                "settings": spec.model_dump(exclude={"kind"}) | result.settings,
                "fitted_on": "average of the fold models" if average else "all fit rows",
                "labels": rows.label_space,
                "dim": int(rows.data.vectors.shape[1]),
                "fit_rows": len(rows.keys),
                "out_of_fold_agreement": round(float(rows.data.judged(agrees).mean()), 6),
                "converged": result.converged,
            },
        )
