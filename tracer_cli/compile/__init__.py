"""tracer.yaml -> dvc.yaml and params.yaml; nothing here imports or runs DVC."""

from tracer_cli.compile.text import dvc_yaml, params_yaml
from tracer_cli.compile.write import Outcome, write

__all__ = ["Outcome", "dvc_yaml", "params_yaml", "write"]
