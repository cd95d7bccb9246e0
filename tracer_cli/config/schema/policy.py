"""Split, acceptor, targets, rules, cost and outputs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tracer_cli.config.scalars import (
    AsText,
    AsValue,
    Auto,
    Count,
    NonNegative,
    OpenShare,
    Share,
    Text,
)
from tracer_cli.config.schema.base import Section


class Split(Section):
    """How the distinct texts are divided into rows to fit on and rows that only the guard sees."""

    holdout: Auto | OpenShare = Field(
        default="auto",
        description="Share of the distinct texts that only the guard sees; auto: with targets.evidence holdout about "
        "1,500 texts, 15 % to 40 %; with crossfit 15 %.",
    )
    by: Annotated[Literal["text", "time"], AsText] = Field(
        default="text", description="text: by a salted hash, so that a text keeps its side; time: the newest texts."
    )
    folds: Annotated[int, Field(ge=2, le=20), AsValue] = Field(
        default=5, description="Folds of the out-of-fold predictions."
    )


class Acceptor(Section):
    """What gives an answer of the surrogate its accept score, and which inputs are deferred whatever their score."""

    kind: Annotated[Literal["logistic_regression", "lightgbm"], AsText] = Field(
        default="logistic_regression", description="Model of whether surrogate and teacher agree."
    )
    distance_quantile: OpenShare | None = Field(
        default=0.999,
        description="An input farther from its nearest fit text than this quantile of the fit texts is deferred "
        "whatever its score; null: no check.",
    )


class Targets(Section):
    """What the policy must reach, and how sure the certificate is."""

    agreement: OpenShare = Field(default=0.95, description="Parity with the teacher at which the policy is deployed.")
    confidence: OpenShare = Field(
        default=0.95, description="Confidence of the certificate: it fails with at most 1 - confidence."
    )
    scope: Annotated[Literal["handled", "overall"], AsText] = Field(
        default="handled",
        description="handled: parity among the inputs that are handled; overall: over all traffic, where deferred "
        "inputs agree by definition.",
    )
    method: Annotated[Literal["auto", "global", "l2d", "rsb"], AsText] = Field(
        default="auto",
        description="global: accept all; l2d: surrogate and acceptor; rsb: a second surrogate and acceptor for what "
        "the first defers; auto: chosen on out-of-fold evidence before the guard.",
    )
    frontier: list[OpenShare] = Field(
        default=[0.85, 0.90, 0.95, 0.98],
        description="Targets that are certified too, for the report and per-request use.",
    )
    min_coverage: Share = Field(default=0.05, description="Smallest certified coverage that is worth deploying.")
    per_label_min: OpenShare | None = Field(
        default=None,
        description="A label whose out-of-fold agreement among handled inputs is below this is deferred, decided "
        "before the guard; null: none is.",
    )
    evidence: Annotated[Literal["holdout", "crossfit"], AsText] = Field(
        default="holdout",
        description="holdout: rows that nothing was fitted on; exact in finite samples, for any model. crossfit: "
        "out-of-fold and holdout rows together; valid for large n under stability of the learner, and the average "
        "of the fold models runs.",
    )

    @property
    def all(self) -> list[float]:
        """The deployed target and the frontier's, ascending, each once."""
        return sorted({self.agreement, *self.frontier})


class Rules(Section):
    """What `tracer guard --check` asks for beside the certificate at the target, so that a refit may go live."""

    baseline: Text | None = Field(
        default=None,
        description="Git revision that a refit is compared with, such as origin/main; --baseline goes first; null: "
        "none, and the rules that compare do not apply.",
    )
    max_coverage_drop: Share | None = Field(
        default=0.05, description="Largest fall of the certified coverage against the baseline; null: any."
    )
    max_labels_lost: Annotated[int, Field(ge=0), AsValue] | None = Field(
        default=0,
        description="Most labels that the baseline's policy answers with and this one does not; null: any number.",
    )
    min_holdout: Auto | Count | None = Field(
        default="auto",
        description="Fewest texts in the evidence; auto: as many as could certify the target if no label differed; "
        "null: any number.",
    )
    max_conflict_share: Share | None = Field(
        default=0.25,
        description="Largest share, among the texts that came more than once, of those whose own labels conflict: the "
        "teacher's noise, which no surrogate can agree with; null: any.",
    )


class Cost(Section):
    """What a call to the teacher costs, for the projection in the report."""

    per_call: NonNegative = Field(default=0.002, description="Price of one call to the teacher.")
    calls_per_day: NonNegative = Field(default=10000.0, description="Calls a day.")
    currency: Text = Field(default="USD", description="Currency of per_call.")


class Outputs(Section):
    """Where the results go."""

    policy: Text = Field(default=".tracer", description="Folder of the routing policy.")
    report: Text = Field(default=".tracer/report.html", description="The audit report.")
