"""Every error that a user can cause, with the exit code that the command line gives it.

This module imports nothing of the package, so that every layer can raise from it.
An error's text is complete: it names the file, the line or row, what is wrong and what to do.
"""

from __future__ import annotations


class TracerError(Exception):
    """An error whose text is meant for the user; anything else that is raised is a bug of ours."""

    exit_code = 2


class ConfigError(TracerError):
    """tracer.yaml, dvc.yaml or params.yaml is wrong or stale."""


class DataError(TracerError):
    """Traces, labels or vectors cannot be used as they are."""


class EmbedderError(TracerError):
    """The embedder cannot be made, or it returned something that is not a matrix of numbers."""


class ModelError(TracerError):
    """A surrogate cannot be fitted, or its ONNX export does not agree with the original."""


class StorageError(TracerError):
    """A file cannot be read or written: missing, read-only, disk full, or in use by another run."""


class ProgramError(TracerError):
    """git or DVC is missing, or failed at what it was asked."""


class PolicyError(TracerError):
    """A policy directory cannot be loaded."""


class PolicyIntegrityError(PolicyError):
    """A file of the policy is missing or is not the one that the manifest names."""


class PolicyNotCertifiedError(PolicyError):
    """The guard did not pass this policy, so it must not answer requests."""

    exit_code = 3


class EmbedderMismatchError(PolicyError):
    """The embedder or the vector dimension is not the one that the policy was fitted with."""


class GuardFailedError(TracerError):
    """The parity guard did not pass, and the caller asked for that to be an error (`--check`)."""

    exit_code = 3
