"""Loading a policy: no file of it may be another than the one that was written, in any byte."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracer_cli as tracer
from support import REPOSITORY, files_of
from tracer_cli.api import FitResult
from tracer_cli.errors import PolicyError, PolicyIntegrityError, TracerError
from tracer_cli.runtime.policy_folder import manifest_digest, policy_id


@pytest.fixture(scope="module")
def copy(fitted: FitResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A test that alters it puts it back."""
    folder = tmp_path_factory.mktemp("copy") / "policy"
    shutil.copytree(fitted.path, folder, ignore=shutil.ignore_patterns("work"))
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["digest"] = manifest_digest(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True))
    tracer.load_router(folder)
    return folder


@given(st.data())
@settings(max_examples=50)
def test_no_altered_byte_loads(copy: Path, data: st.DataObject) -> None:
    """Of the report's files alone a router reads nothing."""
    names = sorted(set(files_of(copy)) - {"report.html", "qualitative_report.json", "manifest.json"})
    assert len(names) >= 5
    for name in names:
        file = copy / name
        original = file.read_bytes()
        place = data.draw(st.integers(0, len(original) - 1), label=name)
        altered = bytearray(original)
        altered[place] ^= data.draw(st.integers(1, 255))
        try:
            file.write_bytes(altered)
            with pytest.raises(PolicyIntegrityError, match=f"{name} is not the file that .*manifest.json names"):
                tracer.load_router(copy)
        finally:
            file.write_bytes(original)


@given(st.data())
@settings(max_examples=150)
def test_no_altered_manifest_that_holds_its_digest_loads_as_another(copy: Path, data: st.DataObject) -> None:
    file = copy / "manifest.json"
    original = file.read_bytes()
    altered = bytearray(original)
    altered[data.draw(st.integers(0, len(original) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        file.write_bytes(altered)
        try:
            router = tracer.load_router(copy)
        except TracerError:
            return
        assert router.manifest == json.loads(original), "only the white space between values may differ"
        assert router.policy_id != policy_id(original)
    finally:
        file.write_bytes(original)


@pytest.mark.parametrize("name", ["files", "verdict", "labels", "dim", "target", "targets", "embedder"])
@pytest.mark.parametrize("value", [None, "x", float("nan"), [{}], {}, {"a": 1}])
def test_a_manifest_with_a_wrong_part_is_named(copy: Path, name: str, value: Any) -> None:
    file = copy / "manifest.json"
    original = file.read_bytes()
    manifest = json.loads(original)
    del manifest["digest"]
    manifest[name] = value
    try:
        file.write_text(json.dumps(manifest))
        with pytest.raises(PolicyIntegrityError, match=f"`{name}` is missing|names no policy.onnx"):
            tracer.load_router(copy)
        del manifest[name]
        file.write_text(json.dumps(manifest))
        with pytest.raises(PolicyIntegrityError, match=f"`{name}` is missing"):
            tracer.load_router(copy)
    finally:
        file.write_bytes(original)


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), -0.5, 2, "0.5", None, True])
def test_a_threshold_that_is_none(copy: Path, threshold: Any) -> None:
    file = copy / "manifest.json"
    original = file.read_bytes()
    manifest = json.loads(original)
    del manifest["digest"]
    next(entry for entry in manifest["targets"] if entry["certified"])["threshold"] = threshold
    try:
        file.write_text(json.dumps(manifest))
        with pytest.raises(PolicyIntegrityError, match="`targets` is missing or not what it should be"):
            tracer.load_router(copy)
    finally:
        file.write_bytes(original)


def test_a_graph_that_fits_its_digest_and_not_the_manifest(copy: Path) -> None:
    graph, file = copy / "policy.onnx", copy / "manifest.json"
    originals = graph.read_bytes(), file.read_bytes()
    manifest = json.loads(originals[1])
    del manifest["digest"]
    from hashlib import sha256

    try:
        manifest["dim"] = 63
        file.write_text(json.dumps(manifest))
        with pytest.raises(PolicyIntegrityError, match="takes vectors of dimension 64, its manifest says 63"):
            tracer.load_router(copy)
        graph.write_bytes(b"no graph")
        manifest["files"]["policy.onnx"] = sha256(b"no graph").hexdigest()
        file.write_text(json.dumps(manifest))
        with pytest.raises(PolicyError, match=r"policy\.onnx cannot be opened by onnxruntime"):
            tracer.load_router(copy)
    finally:
        graph.write_bytes(originals[0])
        file.write_bytes(originals[1])


def test_the_policys_id_is_of_its_manifest(copy: Path) -> None:
    router = tracer.load_router(copy)
    assert router.policy_id == policy_id((copy / "manifest.json").read_bytes())
    assert len(router.policy_id) == 16 and int(router.policy_id, 16) >= 0


@pytest.mark.parametrize(
    ("made", "routed", "allowed"),
    [
        ("tracer.load_router({path!r})", "np.zeros(64)", set()),
        ("tracer.LiveRouter({path!r}, 0.01, texts=False)", "np.zeros(64)", set()),
        # tf-idf has its tokens from scikit-learn, which imports the others where they are installed.
        ("tracer.load_router({path!r})", "'where is my order?'", {"sklearn", "scipy", "pandas", "pyarrow", "rich"}),
    ],
)
def test_what_routing_imports(copy: Path, made: str, routed: str, allowed: set[str]) -> None:
    code = (
        "import sys, numpy as np, tracer_cli as tracer, tracer_cli.runtime.router\n"
        f"{made.format(path=str(copy))}.predict({routed})\n"
        "heavy = {'sklearn', 'pandas', 'dvc', 'scipy', 'lightgbm', 'duckdb', 'onnx', 'pyarrow', 'skl2onnx',"
        " 'starlette', 'uvicorn', 'httpx', 'torch', 'click', 'yaml', 'jinja2', 'rich', 'requests', 'pydantic'}\n"
        "print(*heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= allowed, done.stderr
