"""Everything that `tracer doctor` can find, why it matters and what mends it; docs/doctor.md is made from it."""

from __future__ import annotations

from tracer_cli.doctor.findings import Grade, Kind

BROKEN, WARNING = Grade.BROKEN, Grade.WARNING

# Held against pyproject.toml by a test.
PYTHON = ((3, 10), (3, 14))
DVC = ((3, 67), (4,))
OLD_TRACES_DAYS = 30

# --- python ----------------------------------------------------------------------------------------

PYTHON_UNSUPPORTED = Kind(
    "python",
    "python-unsupported",
    WARNING,
    "tracer is not tested on it, and the libraries it needs may have no release for it.",
    "Make a virtual environment with Python {oldest} to {newest} and install tracer-cli into it.",
)

# --- git -------------------------------------------------------------------------------------------

GIT_MISSING = Kind(
    "git",
    "git-missing",
    BROKEN,
    "DVC was set up to work with git and fails without it, and nobody can compare a refit with the one before.",
    "Install git and see that it is on PATH.",
)
GIT_REFUSES = Kind(
    "git",
    "git-refuses",
    BROKEN,
    "What git refuses, it refuses to DVC and to tracer too.",
    "Do what git says; for a folder of another owner: git config --global --add safe.directory {folder}",
)
NO_GIT_FOR_DVC = Kind(
    "git",
    "no-git-for-dvc",
    BROKEN,
    "DVC was set up to work with git here, so every command of it fails.",
    "git init (or, to do without git and all comparisons: dvc config core.no_scm true)",
)
NO_GIT = Kind(
    "git",
    "no-git",
    WARNING,
    "Without git there is no earlier refit to compare with: `tracer diff`, `dvc params diff`, `dvc metrics diff`, "
    "experiments and the guard's baseline do not work.",
    "git init",
)
NO_SCM = Kind(
    "git",
    "no-scm",
    WARNING,
    "DVC was told to work without git (dvc init --no-scm), so its diffs and experiments do not work.",
    "dvc config --unset core.no_scm",
)
NO_COMMIT = Kind(
    "git",
    "no-commit",
    WARNING,
    "`dvc params diff` and `dvc metrics diff` print nothing, and `dvc exp run` fails.",
    "git add . && git commit -m 'First policy'",
)
SHALLOW = Kind(
    "git",
    "shallow-clone",
    WARNING,
    "A revision that was not fetched cannot be compared with: `tracer diff origin/main` and the guard's baseline fail.",
    "git fetch --unshallow (in CI: fetch-depth: 0)",
)

# --- dvc -------------------------------------------------------------------------------------------

DVC_MISSING = Kind(
    "dvc",
    "dvc-missing",
    BROKEN,
    "Nothing can be run: the stages of a project are DVC's to run.",
    "{python} -m pip install 'dvc>=3.67,<4'",
)
DVC_VERSION = Kind(
    "dvc",
    "dvc-version",
    BROKEN,
    "The files that tracer compiles are tested with DVC from 3.67 up to, not including, 4.",
    "{python} -m pip install 'dvc>=3.67,<4'",
)
DVC_NOT_ON_PATH = Kind(
    "dvc",
    "dvc-not-on-path",
    WARNING,
    "`dvc repro` cannot be typed, though tracer itself finds DVC.",
    "Activate the environment of tracer; its programs lie in {folder}",
)
NO_DVC = Kind(
    "dvc",
    "no-dvc",
    BROKEN,
    "`dvc repro` fails: there is no .dvc folder here or above.",
    "dvc init; below the top of a git repository: dvc init --subdir; outside of one, first: git init",
)
DVC_REFUSES = Kind(
    "dvc",
    "dvc-refuses",
    BROKEN,
    "`dvc repro` will fail in the same way.",
    "Mend what DVC names; `dvc stage list` tells when it is mended.",
)

# --- tracer, as DVC calls it -----------------------------------------------------------------------

TRACER_NOT_ON_PATH = Kind(
    "command",
    "tracer-not-on-path",
    BROKEN,
    "Every stage in dvc.yaml is a `tracer` command, so every stage fails.",
    "Activate the environment of tracer; its programs lie in {folder}",
)
OTHER_TRACER = Kind(
    "command",
    "other-tracer",
    BROKEN,
    "Every stage in dvc.yaml would be run by that one and not by this one.",
    "Put {folder} first on PATH (activate the environment of this tracer).",
)

# --- remote ----------------------------------------------------------------------------------------

NO_REMOTE = Kind(
    "remote",
    "no-remote",
    WARNING,
    "Artifacts and policies stay on this machine: nobody can pull them, and CI must fit everything again.",
    "dvc remote add -d storage URL (s3://..., gs://..., ssh://..., or a folder)",
)
NO_DEFAULT_REMOTE = Kind(
    "remote",
    "no-default-remote",
    WARNING,
    "`dvc push` and `dvc pull` fail unless they are given a remote with -r.",
    "dvc remote default {name}",
)
UNKNOWN_REMOTE = Kind(
    "remote",
    "unknown-remote",
    BROKEN,
    "`dvc push` and `dvc pull` fail.",
    "dvc remote add {name} URL, or name another default: dvc remote default NAME",
)
REMOTE_PATH = Kind(
    "remote",
    "remote-path",
    WARNING,
    "`dvc pull` finds nothing there. `dvc push` would make the folder, even where a disk should be mounted.",
    "Mount or make the folder, or: dvc remote modify {name} url URL",
)

# --- rwlock ----------------------------------------------------------------------------------------

RWLOCK_UNREADABLE = Kind(
    "rwlock",
    "rwlock-unreadable",
    BROKEN,
    "A DVC run was killed while it wrote this file; every command of DVC that runs or compares stages fails.",
    "See that no DVC runs, then delete {path}",
)
RWLOCK_BLOCKS = Kind(
    "rwlock",
    "rwlock-blocks",
    BROKEN,
    "A DVC run was killed and its process number now belongs to another program, so DVC waits for that one.",
    "See that no DVC runs, then delete {path}",
)
RWLOCK_DEAD = Kind(
    "rwlock",
    "rwlock-dead",
    WARNING,
    "A DVC run was killed: what it was writing may be missing. The entry stops nothing: DVC drops it where it is in "
    "the way.",
    "dvc repro; to be rid of the entry, see that no DVC runs and delete {path}",
)
DVC_RUNNING = Kind(
    "rwlock",
    "dvc-running",
    WARNING,
    "Another DVC works on this project; a second run of the same stages fails, and what is said here may change.",
    "Wait until it is done.",
)

# --- disk ------------------------------------------------------------------------------------------

DISK_FULL = Kind(
    "disk",
    "disk-full",
    BROKEN,
    "The next stage fails when it writes.",
    "Free some space; `dvc gc --all-commits` drops from the cache what no commit uses.",
)
DISK_LOW = Kind(
    "disk",
    "disk-low",
    WARNING,
    "A refit writes the artifacts anew and DVC keeps a copy in its cache, so it may not fit.",
    "Free some space; `dvc gc --all-commits` drops from the cache what no commit uses.",
)

# --- configuration and compiled files --------------------------------------------------------------

NO_PROJECT = Kind(
    "configuration",
    "no-project",
    BROKEN,
    "There is nothing to look at.",
    "Name the folder that holds tracer.yaml with --dir.",
)
NO_CONFIGURATION = Kind(
    "configuration",
    "no-configuration",
    BROKEN,
    "There is nothing to compile or to run.",
    "tracer init TRACES, or name the folder that holds tracer.yaml with --dir",
)
CONFIGURATION = Kind(
    "configuration",
    "configuration",
    BROKEN,
    "Nothing can be compiled, and the stage resolve fails.",
    "Edit the lines that are named; `tracer schema` writes the JSON Schema with which an editor checks the file.",
)
UNUSABLE_FILE = Kind(
    "compiled",
    "unusable-file",
    BROKEN,
    "`tracer compile` will not write over it, so no stage can run.",
    "Do what is said, then: tracer compile",
)
STALE_DVC_YAML = Kind(
    "compiled",
    "stale-dvc-yaml",
    BROKEN,
    "It is not what tracer.yaml compiles to, because that was edited since or this file was: the stage resolve "
    "refuses to run.",
    "tracer compile",
)
EDITED_PARAMS = Kind(
    "compiled",
    "edited-params",
    BROKEN,
    "The stage resolve refuses to write over values that somebody meant.",
    "Write the values at the places in tracer.yaml that are named, then: tracer compile",
)
STALE_PARAMS = Kind(
    "compiled",
    "stale-params",
    WARNING,
    "What was run last is not what tracer.yaml says now.",
    "dvc repro (or, without running the stages: tracer compile)",
)

# --- what DVC ran ----------------------------------------------------------------------------------

NO_LOCK = Kind(
    "dvc.lock",
    "no-lock",
    WARNING,
    "Nothing has been run yet, or the file was deleted: DVC does not know which data gave which policy.",
    "dvc repro, then commit dvc.lock",
)
LOCK_UNREADABLE = Kind(
    "dvc.lock",
    "lock-unreadable",
    BROKEN,
    "Every command of DVC fails.",
    "git checkout -- dvc.lock; where git has none, delete it. Then: dvc repro",
)
LOCK_INCOMPLETE = Kind(
    "dvc.lock",
    "lock-incomplete",
    WARNING,
    "These stages have not been run since they were added, or a run broke off.",
    "dvc repro",
)
OUTPUTS_MISSING = Kind(
    "dvc.lock",
    "outputs-missing",
    WARNING,
    "They were made once and are not in this folder, as after `git clone`.",
    "dvc pull; without a remote that has them: dvc repro",
)

# --- what git ignores and holds --------------------------------------------------------------------

IGNORED_SOURCE = Kind(
    "gitignore",
    "ignored-source",
    BROKEN,
    "It has to be committed: DVC refuses or overlooks a dvc.yaml or dvc.lock that git ignores, and a refit is reviewed "
    "by its parameters, metrics and plots.",
    "Take the line {pattern} out of {place}, or make it narrower.",
)
NOT_IGNORED = Kind(
    "gitignore",
    "not-ignored",
    WARNING,
    "`git add .` would commit models, vectors and texts of the traces, and DVC then refuses to run; DVC also writes "
    ".gitignore files of its own, and takes them back when a stage fails.",
    "Add to .gitignore, each on its own line: {lines}",
)
TRAILING_SLASH = Kind(
    "gitignore",
    "trailing-slash",
    WARNING,
    "git matches such a line with a folder and not with a link to one, and DVC has been known to add lines of its own "
    "beside it (its issue 7815).",
    "Write it as {pattern}",
)
TRACKED_OUTPUT = Kind(
    "gitignore",
    "tracked-output",
    BROKEN,
    "DVC refuses to run a stage whose output is in git (it says: already tracked by SCM).",
    "git rm -r -q --cached {paths} && git commit -m 'Leave the outputs to DVC'",
)
UNCOMMITTED = Kind(
    "committed",
    "uncommitted",
    WARNING,
    "A reviewer, CI and the guard's baseline see what is in git, not what lies here.",
    "git add {paths} && git commit -m 'Refit'",
)
UNTRACKED_TRACES = Kind(
    "committed",
    "untracked-inputs",
    WARNING,
    "Neither git nor DVC keeps it, so nobody else, and no CI job, can run this refit again.",
    "dvc add {path} and commit {path}.dvc; where it is small and may be in git: git add {path}",
)
NO_BASELINE = Kind(
    "committed",
    "no-baseline",
    WARNING,
    "The guard has nothing to compare the refit with, and `tracer guard --check` fails.",
    "git fetch (in CI: fetch-depth: 0), or mend rules.baseline",
)
MERGE_CONFLICT = Kind(
    "committed",
    "merge-conflict",
    BROKEN,
    "A merge was not finished: neither DVC nor tracer can read the file.",
    "Edit tracer.yaml by hand if it is among them; take either side of the others (git checkout --theirs -- FILE); "
    "then: tracer compile && dvc repro",
)

# --- traces and holdout ----------------------------------------------------------------------------

TRACES_MISSING = Kind(
    "traces",
    "traces-missing",
    BROKEN,
    "The stage ingest fails.",
    "Bring the file, or mend traces.path.",
)
NOT_PULLED = Kind(
    "traces",
    "not-pulled",
    BROKEN,
    "DVC keeps it and it is not in this folder, so a stage that reads it fails.",
    "dvc pull {target}",
)
NEVER_PULLED = Kind(
    "traces",
    "never-pulled",
    BROKEN,
    "The stage ingest fails: nothing was copied from the database or the object store yet.",
    "tracer pull {index}",
)
SOURCE_VARIABLE = Kind(
    "traces",
    "source-variable",
    WARNING,
    "`tracer pull` brings no new traces from there; a refit of those that are here does not need it.",
    "export {variable}=URL, with user and password; in a CI job, as a secret.",
)
OLD_TRACES = Kind(
    "traces",
    "old-traces",
    WARNING,
    "The certificate holds for traffic like the traces; what people ask may have changed since.",
    "Add newer traces, then: dvc repro",
)
METRICS_UNREADABLE = Kind(
    "holdout",
    "metrics-unreadable",
    BROKEN,
    "It is not as tracer writes it, so neither the guard's rules nor a diff can be read.",
    "git checkout -- {path}; where that does not help, delete it. Then: dvc repro",
)
HOLDOUT_TOO_SMALL = Kind(
    "holdout",
    "holdout-too-small",
    BROKEN,
    "Even if no label differed, so few texts could not certify the target: the guard must block.",
    "Bring about {missing} more distinct texts, or raise split.holdout, or lower targets.agreement or "
    "targets.confidence.",
)
HOLDOUT_BELOW_RULE = Kind(
    "holdout",
    "holdout-below-rule",
    WARNING,
    "`tracer guard --check` fails.",
    "Bring about {missing} more distinct texts, or raise split.holdout, or lower rules.min_holdout.",
)
FRONTIER_OUT_OF_REACH = Kind(
    "holdout",
    "frontier-out-of-reach",
    WARNING,
    "Even if no label differed, so few texts could not certify these targets: the report says `none` there.",
    "Bring about {missing} more distinct texts, or take them out of targets.frontier.",
)

# --- embedder --------------------------------------------------------------------------------------

EXTRA_MISSING = Kind(
    "embedder",
    "extra-missing",
    BROKEN,
    "The stage embed fails, and so does a policy that embeds text.",
    "{python} -m pip install 'tracer-cli[{extra}]' (where the package index would bring a CUDA build of PyTorch, "
    "install the CPU build first)",
)
KEY_MISSING = Kind(
    "embedder",
    "key-missing",
    WARNING,
    "A refit with new texts asks the embedder's service for vectors, and so does a policy that is given text.",
    "export {variable}=... (the key of the service; never write it into a file of the project)",
)
FUNCTION_MISSING = Kind(
    "embedder",
    "function-missing",
    BROKEN,
    "The stage embed fails.",
    "Bring the module, or mend embedder.function: package.module:function, seen from the folder of tracer.yaml.",
)
MODEL_FOLDER = Kind(
    "embedder",
    "model-folder",
    BROKEN,
    "The stage embed fails, and so does a policy that embeds text.",
    "Bring the folder of the saved model, or mend embedder.model.",
)
MODEL_OFFLINE = Kind(
    "embedder",
    "model-offline",
    BROKEN,
    "The model cannot be loaded: it is not in the local cache, and the hub must not be asked (HF_HUB_OFFLINE).",
    "Unset HF_HUB_OFFLINE for one run, or give the folder of a saved model as embedder.model.",
)
MODEL_NOT_CACHED = Kind(
    "embedder",
    "model-not-cached",
    WARNING,
    "It is downloaded when the stage embed or the policy first runs; without a network both fail.",
    "Run `dvc repro` with a network once, or give the folder of a saved model as embedder.model.",
)
VECTORS_MISSING = Kind(
    "embedder",
    "vectors-missing",
    BROKEN,
    "The stage embed fails.",
    "Bring the file, or mend embedder.path.",
)

# --- policy ----------------------------------------------------------------------------------------

NO_POLICY = Kind(
    "policy",
    "no-policy",
    WARNING,
    "There is nothing to route with.",
    "dvc repro; on a fresh clone: dvc pull",
)
POLICY_UNLOADABLE = Kind(
    "policy",
    "policy-unloadable",
    BROKEN,
    "No service loads it.",
    "dvc repro; where that does not help: dvc repro -f -s guard",
)
POLICY_BLOCKED = Kind(
    "policy",
    "policy-blocked",
    WARNING,
    "It does not load, and `tracer guard --check` fails.",
    "tracer report (it says what is missing)",
)
POLICY_NOT_OF_LOCK = Kind(
    "policy",
    "policy-not-of-lock",
    WARNING,
    "It comes from another run than the one that dvc.lock records: another branch, or a fit without DVC.",
    "dvc repro",
)

# --- the doctor itself ------------------------------------------------------------------------------

NOT_CHECKED = Kind(
    "doctor",
    "not-checked",
    WARNING,
    "Something may be wrong here that nobody looked for.",
    "Mend what is broken above and run `tracer doctor` again; if nothing is, report it as a bug with this line.",
)

KINDS: tuple[Kind, ...] = tuple(value for value in globals().values() if isinstance(value, Kind))
