"""What the names in a manifest mean, in plain words, for the terminal and the page. Text only, no markup."""

from __future__ import annotations

from typing import Any

METHODS = {
    "global": "the surrogate answers every input that no check defers",
    "l2d": "the surrogate answers where the acceptor is sure enough that the teacher would agree",
    "rsb": "the surrogate answers where its acceptor is sure enough; a second one, which learnt on such inputs alone, "
    "may answer what the first defers",
}
SCOPES = {
    "handled": "parity among the inputs that the surrogate answers",
    "overall": "parity over all traffic, where a deferred input agrees by definition: how many of all inputs get "
    "another label than the teacher's; among the handled alone the agreement may be lower",
}
# What a scope certifies, as the head of a column.
CERTIFIES = {"handled": "agreement", "overall": "parity over all"}
# Below every score that an input may be handled with.
ANY_SCORE = 1e-9


def deployed(manifest: dict[str, Any]) -> dict[str, Any]:
    """The entry of the target that the policy is deployed at."""
    return dict(next(t for t in manifest["targets"] if t["target"] == manifest["target"]))


def percent(value: float | None, digits: int = 1, none: str = "-") -> str:
    return none if value is None else f"{100 * value:.{digits}f} %"


def interval(bounds: list[float], digits: int = 1) -> str:
    return f"{100 * bounds[0]:.{digits}f} to {100 * bounds[1]:.{digits}f} %"


def settings(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )


def members(manifest: dict[str, Any]) -> list[dict[str, str]]:
    """The surrogate's parts, the largest share first: name, kind, share, settings."""
    parts = sorted(manifest["surrogate"]["members"], key=lambda part: -part["share"])
    return [
        {
            "name": part["name"],
            "kind": part["kind"],
            "share": percent(part["share"], 0),
            "settings": settings(part["settings"]),
        }
        for part in parts
    ]


def surrogate(manifest: dict[str, Any]) -> str:
    parts = members(manifest)
    if len(parts) == 1:
        return f"{parts[0]['name']} ({parts[0]['kind']})"
    return "blend of " + " + ".join(f"{part['share']} {part['name']} ({part['kind']})" for part in parts)


def threshold(value: float | None) -> str:
    """A threshold below every score that an input may be handled with is no number to show."""
    if value is None:
        return "none"
    return "any score" if value < ANY_SCORE else f"{value:.4f}"


def evidence(manifest: dict[str, Any]) -> str:
    """What stands behind the certificate, and what it assumes."""
    if manifest["evidence"] == "holdout":
        return f"{manifest['holdout_rows']:,} texts that nothing was fitted on; holds for any number of texts"
    rows, held = deployed(manifest)["evidence_rows"], manifest["holdout_rows"]
    return (
        f"{rows:,} texts, {rows - held:,} of them out of fold and {held:,} held out. "
        "Assumes many texts, and models that change little when a few texts "
        "change (Bayle et al. 2020); it is not exact for every number of texts, and is tested at half the error level, "
        "because out-of-fold texts also chose the model. What runs is the average of the "
        "fold models, which is what the out-of-fold texts measured"
    )


def distance_check(manifest: dict[str, Any], filtered: dict[str, int] | None = None) -> str:
    """filtered: how many holdout texts each check deferred, where that is known."""
    limit = manifest["distance_limit"]
    if limit is None:
        return "none: an input is not deferred for being unlike the fit texts"
    text = (
        f"an input is deferred whatever its score when its nearest fit text is farther than {limit:.3f} "
        f"(1 - cosine similarity; the {manifest['distance_quantile']:g} quantile of the fit texts)"
    )
    return (
        text
        if filtered is None
        else f"{text}; it deferred {filtered['distance']:,} of {filtered['rows']:,} holdout texts"
    )


def labels_with(manifest: dict[str, Any], outcome: str) -> list[str]:
    """The labels whose check against per_label_min ended in `outcome`."""
    return [check["label"] for check in manifest["label_checks"] if check["outcome"] == outcome]


def label_check(manifest: dict[str, Any], filtered: dict[str, int] | None = None) -> str:
    """The outcome of per_label_min in numbers; empty where none is set."""
    minimum = manifest["per_label_min"]
    if minimum is None:
        return ""
    total = len(manifest["label_checks"])
    blocked, unknown = (len(labels_with(manifest, outcome)) for outcome in ("deferred", "too little evidence"))
    text = (
        f"per_label_min {minimum:g}: {total - blocked - unknown} of {total} labels reach it out of fold; "
        f"{blocked} do not and are deferred"
    )
    if filtered is not None:
        text += f" ({filtered['label']:,} of {filtered['rows']:,} holdout texts)"
    return f"{text}; {unknown} have too little evidence to tell and are answered"


def label_note(entry: dict[str, Any]) -> str:
    """What is to be said of one label of the report; entry: as of `analysis.per_label`."""
    check = entry["check"]
    if entry["fit_rows"] == 0:
        return "in no fit text: never answered with"
    if check is not None and check["outcome"] != "reached":
        return f"{check['outcome']}: {check['agreed']} of {check['handled']} out of fold"
    return "too little evidence" if entry["little_evidence"] else ""


ORIGINS = {
    "organic": "from before any policy, or from all of the traffic",
    "audit": "sent to the teacher whatever the policy decided: evidence, like the organic ones",
    "deferred": "sent to the teacher because the policy deferred them: trained on, and no evidence",
}


def origins(traces: dict[str, Any]) -> dict[str, int]:
    """How many distinct texts came from where; traces: metrics/traces.json. A text of several counts for the first."""
    audit, deferred = traces.get("audit_texts", 0), traces.get("deferred_texts", 0)
    return {"organic": traces["distinct_texts"] - audit - deferred, "audit": audit, "deferred": deferred}


def contexts(teacher: dict[str, Any]) -> list[dict[str, Any]]:
    """The teacher's instructions, the most frequent first, each with the share of the rows that had any; the last
    entry stands for those that are not listed. teacher: teacher.json."""
    listed, others = teacher["contexts"], teacher["rows_of_others"]
    total = sum(context["rows"] for context in listed) + others
    entries = [{**context, "share": context["rows"] / total} for context in listed]
    if others:
        unlisted = teacher["contexts_seen"] - len(listed)
        entries.append({"rows": others, "share": others / total, "unlisted": unlisted})
    return entries


def taught(count: int) -> str:
    """How many instructions the teacher had."""
    return "one set of instructions" if count == 1 else f"{count:,} different sets of instructions"


def teacher_changes(teacher: dict[str, Any]) -> list[str]:
    """A sentence for each way in which the teacher is another one; teacher: as of `changes.between`."""
    found = []
    if teacher["contexts_new"]:
        found.append(f"{number_of(teacher['contexts_new'], 'set')} of instructions came that the traces did not have")
    if teacher["contexts_gone"]:
        found.append(f"{number_of(teacher['contexts_gone'], 'set')} of instructions went")
    for word, names in (("came", teacher["models_new"]), ("went", teacher["models_gone"])):
        if names:
            found.append(f"{'the model' if len(names) == 1 else 'the models'} {', '.join(names)} {word}")
    return found


def number_of(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def days(dates: list[str] | None) -> str:
    """The first and the last day of the traces."""
    return "no times are known" if dates is None else f"{dates[0][:10]} to {dates[1][:10]}"


def beyond(value: bool | None) -> str:
    """Whether a change is beyond noise, where that can be told."""
    return "" if value is None else "beyond noise" if value else "within noise"


def verdict(entry: dict[str, Any]) -> str:
    return f"{'certified' if entry['deploy'] else 'blocked'} at {entry['target']:g}"


NO_NUMBER, UNKNOWN = "no number", "unknown"
# What is to be said below a table of shortfalls in which one of these is needed.
NEEDED = {
    NO_NUMBER: "the observed share is not above the target, so more evidence alone would not help: it takes a better "
    "surrogate (more traces to learn from, a better embedder) or a lower target",
    UNKNOWN: "no text of the evidence reaches the threshold, so nothing was observed there: it takes more traces",
}


def shortfalls(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """For each target that is not certified: what the evidence shows where it was tested first, and what is missing.

    share: of what the scope certifies, None where nothing was observed. needed: evidence rows, NO_NUMBER or UNKNOWN.
    """
    entries = []
    for target in manifest["targets"]:
        short = target["shortfall"]
        if short is not None:
            coverage, agreement = short["tested_coverage"], short["tested_agreement"]
            share = agreement if manifest["scope"] == "handled" else 1 - coverage * (1 - agreement)
            rows = short["evidence_rows_needed"]
            needed = NO_NUMBER if rows is None else f"{rows:,}"
            entries.append(
                {
                    "target": target["target"],
                    "coverage": coverage,
                    "share": share if coverage > 0 else None,
                    "supported": short["supported_target"],
                    "needed": needed if coverage > 0 else UNKNOWN,
                    "rows": target["evidence_rows"],
                }
            )
    return entries


def needed_notes(missing: list[dict[str, Any]]) -> dict[str, str]:
    """The entries of NEEDED that a table of `shortfalls` calls for."""
    return {word: note for word, note in NEEDED.items() if word in [entry["needed"] for entry in missing]}
