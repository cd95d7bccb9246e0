"""Functions as embedders: found, called, refused, told apart, and never run because a folder says so."""

from __future__ import annotations

import functools
import importlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import REPOSITORY, files_of
from tracer_cli import embedders
from tracer_cli.config.schema import CallableEmbedder as Section
from tracer_cli.embedders import Embedder
from tracer_cli.embedders.probe import TEXT as PROBE
from tracer_cli.errors import ConfigError, EmbedderError, EmbedderMismatchError

LENGTHS = """
import numpy as np

def embed(texts):
    return np.array([[len(text), text.count("a")] for text in texts], dtype=float)
"""
TEXTS = ["a", "banana", "", "xyz", "ü" * 9]
EXPECTED = [[1, 1], [6, 3], [0, 0], [3, 0], [9, 0]]


@pytest.fixture(autouse=True)
def sys_is_left_as_it_was(tmp_path: Path) -> Iterator[None]:
    path, modules = list(sys.path), dict(sys.modules)
    yield
    assert sys.path == path
    for name in set(sys.modules) - set(modules):
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "") or ""):
            del sys.modules[name]


def write(folder: Path, name: str, code: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(code), encoding="utf-8")
    shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)
    return path


def section(function: str, **changes: Any) -> dict[str, Any]:
    return Section(kind="callable", function=function, **changes).model_dump()


def fit(root: Path, function: str, **changes: Any) -> Embedder:
    return embedders.fit(section(function, **changes), TEXTS, 0, root)


def saved(embedder: Embedder, folder: Path) -> Path:
    folder.mkdir()
    embedder.save(folder)
    return folder


def in_a_new_process(root: Path, expression: str, cwd: Path | None = None) -> str:
    """`expression` with `fit`, `Embedder` and `root` at hand."""
    code = (
        "import sys; from pathlib import Path; from tracer_cli import embedders; from tracer_cli.embedders import Embedder\n"
        "from tracer_cli.config.schema import CallableEmbedder as S\nroot = Path(sys.argv[1])\n"
        "fit = lambda f, **c: embedders.fit(S(kind='callable', function=f, **c).model_dump(), [], 0, root)\n"
        f"print({expression})"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONHASHSEED": "random"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)], cwd=cwd, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


# --- calling --------------------------------------------------------------------------------------


def test_a_function_of_the_project_is_found_from_its_folder(tmp_path: Path) -> None:
    write(tmp_path, "lengths.py", LENGTHS)
    embedder = fit(tmp_path, "lengths:embed")
    found = embedder.embed(TEXTS)
    assert (embedder.kind, embedder.dim, found.dtype) == ("callable", 2, np.float32)
    assert found.tolist() == EXPECTED
    assert embedder.embed([]).shape == (0, 2) and list(embedder.batches([])) == []


@pytest.mark.parametrize("name", ["pack.sub.lengths:embed", "pack.sub.lengths:Model.embed", "spaces.lengths:instance"])
def test_packages_attributes_and_objects(tmp_path: Path, name: str) -> None:
    code = (
        LENGTHS
        + "class Model:\n    embed = staticmethod(embed)\n    __call__ = staticmethod(embed)\ninstance = Model()\n"
    )
    write(tmp_path, "pack/__init__.py", "")
    write(tmp_path, "pack/sub/__init__.py", "")
    write(tmp_path, "pack/sub/lengths.py", code)
    write(tmp_path, "spaces/lengths.py", code)  # a namespace package
    assert fit(tmp_path, name).embed(TEXTS).tolist() == EXPECTED


def test_a_function_of_an_installed_package(tmp_path: Path) -> None:
    embedder = fit(tmp_path, "numpy.char:str_len")  # found and called, though what it returns is no matrix
    with pytest.raises(EmbedderError, match=r"what embedder.function numpy.char:str_len returned must have one vector"):
        embedder.embed(TEXTS)


def test_it_is_called_with_batches_and_prefix(tmp_path: Path) -> None:
    write(
        tmp_path,
        "calls.py",
        LENGTHS + "calls = []\n_embed = embed\ndef embed(t):\n    calls.append(t)\n    return _embed(t)",
    )
    embedder = fit(tmp_path, "calls:embed", batch_size=2, prefix="q: ")
    assert embedder.embed(TEXTS)[:, 0].tolist() == [4, 9, 3, 6, 12]
    calls = importlib.import_module("calls").calls
    assert calls == [["q: " + PROBE], ["q: a", "q: banana"], ["q: ", "q: xyz"], ["q: üüüüüüüüü"]]
    parts = list(embedder.batches(TEXTS))
    assert [rows for rows, _ in parts] == [range(0, 2), range(2, 4), range(4, 5)]


def test_vectors_can_be_scaled_and_zero_stays_zero(tmp_path: Path) -> None:
    write(tmp_path, "lengths.py", LENGTHS)
    found = fit(tmp_path, "lengths:embed", normalize=True).embed(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 1, 0, 1, 1], rtol=1e-6)


def test_an_array_that_the_function_uses_again_is_copied(tmp_path: Path) -> None:
    code = "import numpy as np\nbuffer = np.zeros((1, 2), 'f4')\ndef embed(t):\n    buffer[0] = len(t[0])\n    return buffer"
    write(tmp_path, "reuse.py", code)
    parts = list(fit(tmp_path, "reuse:embed", batch_size=1).batches(["a", "bb", "ccc"]))
    assert [part.tolist() for _, part in parts] == [[[1, 1]], [[2, 2]], [[3, 3]]]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("None", "must be a matrix of numbers|shape"),
        ("[[1.0, 2.0]] * (len(t) + 1)", r"must have one vector for each of \d inputs, not the shape"),
        ("[1.0] * len(t)", "must have one vector for each"),
        ("[[float('nan')]] * len(t)", "NaN or an infinite value in row 0"),
        ("[[1.0]] * len(t) if len(t[0]) > 50 else [[1.0, 2.0]] * len(t)", "vectors of length 2, expected 1"),
        ("[['a']] * len(t)", "must be a matrix of numbers"),
        ("[[1], [2, 3]]", "failed: ValueError: "),
        ("{}", "must be a matrix of numbers|shape"),
        ("(x for x in t)", "must be a matrix of numbers|shape"),
    ],
)
def test_what_is_no_matrix_is_refused(tmp_path: Path, result: str, message: str) -> None:
    write(tmp_path, "wrong.py", f"def embed(t):\n    return {result}")
    with pytest.raises(EmbedderError, match=f"embedder.function wrong:embed.*({message})"):
        fit(tmp_path, "wrong:embed").embed(TEXTS)


def test_an_async_function_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "later.py", "async def embed(t):\n    return [[1.0]] * len(t)")
    with pytest.raises(EmbedderError, match="it is async; an ordinary function is expected"):
        fit(tmp_path, "later:embed").embed(TEXTS)


def test_what_it_raises_is_told_with_its_place(tmp_path: Path) -> None:
    code = "def helper():\n    raise RuntimeError('no\\n  GPU')\ndef embed(t):\n    return helper() if 'xyz' in t else [[1.0]] * len(t)"
    file = write(tmp_path, "gpu.py", code)
    embedder = fit(tmp_path, "gpu:embed", batch_size=2)
    with pytest.raises(EmbedderError) as info:
        embedder.embed(TEXTS)
    assert str(info.value) == (f"embedder.function gpu:embed failed: RuntimeError: no GPU ({file}, line 2, in helper)")
    kept = []
    with pytest.raises(EmbedderError, match="no GPU"):
        for rows, _ in embedder.batches(TEXTS):
            kept.append(rows)
    assert kept == [range(0, 2)]


def test_the_place_is_the_users_own_and_not_a_librarys(tmp_path: Path) -> None:
    file = write(tmp_path, "deep.py", "import numpy as np\ndef embed(t):\n    return np.stack([])")
    with pytest.raises(
        EmbedderError, match=rf"ValueError: need at least one array to stack \({file}, line 3, in embed\)"
    ):
        fit(tmp_path, "deep:embed").embed(TEXTS)


def test_imports_inside_the_function_find_the_project_too(tmp_path: Path) -> None:
    write(tmp_path, "weights_of_mine.py", "W = 7.0")
    write(tmp_path, "lazy.py", "def embed(t):\n    import weights_of_mine\n    return [[weights_of_mine.W]] * len(t)")
    embedder = fit(tmp_path, "lazy:embed")
    assert embedder.embed(["a"]).tolist() == [[7.0]]


def test_threads_may_share_it(tmp_path: Path) -> None:
    write(tmp_path, "lengths.py", LENGTHS)
    embedder = fit(tmp_path, "lengths:embed", batch_size=1)
    with ThreadPoolExecutor(8) as pool:
        assert all(found.tolist() == EXPECTED for found in pool.map(embedder.embed, [TEXTS] * 50))


# --- finding --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lengths", "'lengths' is not of the form package.module:function"),
        ("lengths:", "is not of the form"),
        (":embed", "is not of the form"),
        ("lengths.py:embed:x", "is not of the form"),
        ("../lengths:embed", "is not of the form"),
        ("lengths:embed()", "is not of the form"),
        ("os;x:y", "is not of the form"),
        ("nowhere:embed", r"there is no module 'nowhere' for 'nowhere:embed', neither in the folder .* nor among"),
        ("lengths.inner:embed", r"there is no module 'lengths.inner'"),
        ("lengths:embedd", r"'lengths:embedd' leads nowhere: lengths \(.*lengths\.py\) has no 'embedd'"),
        ("lengths:embed.more", "leads nowhere: lengths:embed has no 'more'"),
        ("lengths:NUMBER", "'lengths:NUMBER' is no function but of type int"),
        ("lengths:np", "is no function but of type module"),
        ("broken:embed", r"importing broken failed: SyntaxError: .* \(.*broken\.py, line 2\)"),
        (
            "needy:embed",
            r"importing needy failed: ModuleNotFoundError: No module named 'not_there' \(.*needy\.py, line 1",
        ),
        ("leaving:embed", r"importing leaving failed: SystemExit: 3 \(.*leaving\.py, line 2, in <module>\)"),
        ("raising:embed", r"importing raising failed: KeyError: 'x' \(.*raising\.py, line 1, in <module>\)"),
    ],
)
def test_a_name_that_leads_nowhere(tmp_path: Path, name: str, message: str) -> None:
    write(tmp_path, "lengths.py", LENGTHS + "NUMBER = 3\n")
    write(tmp_path, "broken.py", "x = 1\ndef embed(:\n")
    write(tmp_path, "needy.py", "import not_there\n")
    write(tmp_path, "leaving.py", "import sys\nsys.exit(3)\n")
    write(tmp_path, "raising.py", "{}['x']\n")
    with pytest.raises(EmbedderError, match=f"embedder.function: .*{message}"):
        fit(tmp_path, name)


def test_the_projects_own_module_comes_before_an_installed_or_loaded_one(tmp_path: Path) -> None:
    """Two projects in one process, and a name that the standard library has."""
    for number in (1, 2):
        write(tmp_path / str(number), "vectors.py", "from other import N\ndef embed(t):\n    return [[N]] * len(t)")
        write(tmp_path / str(number), "other.py", f"N = {number}.0")
    write(tmp_path, "colorsys.py", "def embed(t):\n    return [[5.0]] * len(t)")
    colorsys = importlib.import_module("colorsys")
    one = fit(tmp_path / "1", "vectors:embed")
    module = sys.modules["vectors"]
    del sys.modules["other"]
    two = fit(tmp_path / "2", "vectors:embed")
    assert one.embed(["a"]).tolist() == [[1.0]] and two.embed(["a"]).tolist() == [[2.0]]
    assert sys.modules["vectors"] is module and one.fingerprint == fit(tmp_path / "1", "vectors:embed").fingerprint
    assert fit(tmp_path, "colorsys:embed").embed(["a"]).tolist() == [[5.0]]
    assert sys.modules["colorsys"] is colorsys and hasattr(colorsys, "rgb_to_hsv")


# --- the fingerprint ------------------------------------------------------------------------------


def test_the_fingerprint_is_of_name_settings_and_file(tmp_path: Path) -> None:
    code = LENGTHS + "other = embed\n"
    file = write(tmp_path, "lengths.py", code)
    expression = "fit('lengths:embed').fingerprint"
    fingerprint = fit(tmp_path, "lengths:embed").fingerprint
    assert fingerprint.startswith("callable:")
    assert in_a_new_process(tmp_path, expression) == fingerprint
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    shutil.copy(file, copy)
    assert in_a_new_process(copy, expression, cwd=copy) == fingerprint  # wherever the project lies
    assert fit(tmp_path, "lengths:embed", batch_size=1).fingerprint == fingerprint
    changes: list[dict[str, Any]] = [{"revision": "2"}, {"prefix": "x"}, {"normalize": True}]
    others = {fit(tmp_path, "lengths:embed", **change).fingerprint for change in changes}
    others.add(fit(tmp_path, "lengths:other").fingerprint)
    write(copy, "lengths.py", code + "# changed\n")
    others.add(in_a_new_process(copy, expression))
    assert len(others | {fingerprint}) == 6


def test_a_file_that_changed_since_it_was_imported_is_noticed(tmp_path: Path) -> None:
    """The code in memory is the old one: neither fingerprint would be right."""
    write(tmp_path, "lengths.py", LENGTHS)
    fit(tmp_path, "lengths:embed")
    write(tmp_path, "lengths.py", LENGTHS + "# changed\n")
    with pytest.raises(EmbedderError, match="lengths:embed: its file has changed since this process imported it"):
        fit(tmp_path, "lengths:embed")
    importlib.invalidate_caches()
    del sys.modules["lengths"]
    fit(tmp_path, "lengths:embed")


def test_a_function_that_is_passed_on_is_known_by_both_files(tmp_path: Path) -> None:
    write(tmp_path, "facade.py", "from inner import embed\n")
    write(tmp_path, "inner.py", LENGTHS)
    found = [in_a_new_process(tmp_path, "fit('facade:embed').fingerprint")]
    write(tmp_path, "inner.py", LENGTHS + "# changed\n")
    found.append(in_a_new_process(tmp_path, "fit('facade:embed').fingerprint"))
    write(tmp_path, "facade.py", "from inner import embed  # changed\n")
    found.append(in_a_new_process(tmp_path, "fit('facade:embed').fingerprint"))
    assert len(set(found)) == 3


def test_an_installed_package_is_known_by_its_version(tmp_path: Path) -> None:
    """In a virtual environment inside the project as well."""
    site = tmp_path / ".venv" / "lib" / "site-packages"
    write(site, "vendor_vectors/__init__.py", LENGTHS)
    write(site, "Vendor_Vectors-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: Vendor-Vectors\nVersion: 1.0\n")
    write(site, "Vendor_Vectors-1.0.dist-info/top_level.txt", "vendor_vectors\n")

    def fingerprint() -> str:
        expression = f"sys.path.append({str(site)!r}) or fit('vendor_vectors:embed').fingerprint"
        return in_a_new_process(tmp_path, expression)

    first = fingerprint()
    write(site, "vendor_vectors/__init__.py", LENGTHS + "\r\n")  # other line ends, same version
    assert fingerprint() == first
    write(site, "Vendor_Vectors-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: Vendor-Vectors\nVersion: 1.1\n")
    assert fingerprint() != first


# --- function objects -----------------------------------------------------------------------------


def two_numbers(texts: list[str]) -> list[list[float]]:
    return [[float(len(text)), 1.0] for text in texts]


def make(factor: float) -> Callable[[list[str]], list[list[float]]]:
    return lambda texts: [[len(text) * factor] for text in texts]


def test_a_function_object_that_can_be_imported_is_the_same_as_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "lengths.py", LENGTHS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = list(sys.path)
    lengths = importlib.import_module("lengths")
    by_object, by_name = Embedder.from_callable(lengths.embed), Embedder.from_callable("lengths:embed")
    assert by_object.fingerprint == by_name.fingerprint == fit(tmp_path, "lengths:embed").fingerprint
    assert by_object.embed(TEXTS).tolist() == EXPECTED and sys.path == before
    monkeypatch.undo()


def test_a_lambda_is_known_by_its_code_and_the_plain_values_it_holds() -> None:
    other, same = (lambda texts: [[1.0, 2.0]] * len(texts)), (lambda texts: [[1.0, 2.0]] * len(texts))
    third = lambda texts: [[1.0, 3.0]] * len(texts)  # noqa: E731
    fingerprints = [Embedder.from_callable(function).fingerprint for function in (other, same, third)]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]
    assert Embedder.from_callable(make(2.0)).fingerprint == Embedder.from_callable(make(2.0)).fingerprint
    assert Embedder.from_callable(make(2.0)).fingerprint != Embedder.from_callable(make(3.0)).fingerprint
    by_default = [lambda texts, n=n: [[n]] * len(texts) for n in (1.0, 2.0)]
    assert len({Embedder.from_callable(function).fingerprint for function in by_default}) == 2
    revised = Embedder.from_callable(make(2.0), revision="2").fingerprint
    assert revised != Embedder.from_callable(make(2.0)).fingerprint
    assert Embedder.from_callable(make(2.0)).embed(["abc"]).tolist() == [[6.0]]


def test_a_lambdas_fingerprint_is_the_same_in_every_process(tmp_path: Path) -> None:
    expression = (
        "Embedder.from_callable(lambda texts: [[float(t in {'b', 'a', 'c', 'd'}), 1.5] for t in texts]).fingerprint"
    )
    assert len({in_a_new_process(tmp_path, expression) for _ in range(3)}) == 1


class Model:
    """A model as libraries have them: its method embeds."""

    def embed(self, texts: list[str]) -> np.ndarray:
        return np.ones((len(texts), 3))

    def __call__(self, texts: list[str]) -> np.ndarray:
        return np.zeros((len(texts), 3))


def test_a_method_and_an_object_that_can_be_called() -> None:
    method, instance = Embedder.from_callable(Model().embed), Embedder.from_callable(Model())
    assert method.embed(["a"]).tolist() == [[1, 1, 1]] and instance.embed(["a"]).tolist() == [[0, 0, 0]]
    assert method.fingerprint == Embedder.from_callable(Model().embed).fingerprint != instance.fingerprint
    cached = functools.lru_cache(two_numbers)
    with pytest.raises(EmbedderError, match="TypeError: unhashable type"):
        Embedder.from_callable(cached).embed(["a"])


def test_what_has_no_code_is_refused() -> None:
    with pytest.raises(EmbedderError, match="has no Python code that a fingerprint could be made of"):
        Embedder.from_callable(functools.partial(two_numbers))
    with pytest.raises(EmbedderError, match="takes a function or its name, not int"):
        Embedder.from_callable(3)  # type: ignore[arg-type]


def test_settings_are_checked_as_in_tracer_yaml() -> None:
    with pytest.raises(ConfigError, match=r"embedder\.batch: unknown key; .*did you mean 'batch_size'"):
        Embedder.from_callable(two_numbers, batch=3)
    with pytest.raises(ConfigError, match=r"embedder\.batch_size: found 0"):
        Embedder.from_callable("a:b", batch_size=0)
    with pytest.raises(ConfigError, match="text_features depends on the traces"):
        Embedder.from_callable(two_numbers, text_features={}, normalize=True)


# --- saving, and a folder that may not name code --------------------------------------------------


def test_a_folder_runs_nothing_until_the_caller_names_the_function(tmp_path: Path) -> None:
    marker = tmp_path / "it ran"
    write(tmp_path, "loud.py", LENGTHS + f"open({str(marker)!r}, 'w').close()\n")
    embedder = fit(tmp_path, "loud:embed", revision="3", prefix="q", batch_size=2)
    folder = saved(embedder, tmp_path / "e")
    assert list(files_of(folder)) == ["spec.json"]
    marker.unlink()
    del sys.modules["loud"]
    with pytest.raises(EmbedderError, match=r"names the function 'loud:embed' as its embedder, and a folder may not"):
        embedders.load(folder, tmp_path)
    for name in ("os:system", "loud:other", "Loud:embed"):
        with pytest.raises(EmbedderMismatchError, match=f"was fitted with 'loud:embed', not '{name}'"):
            embedders.load_callable(folder, name, tmp_path)
    assert not marker.exists()
    loaded = embedders.load_callable(folder, "loud:embed", tmp_path)
    assert marker.exists() and loaded.fingerprint == embedder.fingerprint
    assert files_of(saved(loaded, tmp_path / "again")) == files_of(folder)


def test_a_folder_of_another_kind_or_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "e"
    folder.mkdir()
    for spec, message in [
        ({"kind": "tfidf", "settings": {}}, "is of kind tfidf, not a callable"),
        ({"kind": "callable", "settings": {}}, "damaged"),
        ({"kind": "callable", "settings": {"function": 3}}, "damaged"),
        ({"kind": "callable"}, "damaged"),
        ([], "damaged"),
    ]:
        (folder / "spec.json").write_text(json.dumps(spec))
        with pytest.raises(EmbedderError, match=message):
            embedders.load_callable(folder, "a:b", tmp_path)


def test_another_model_behind_the_same_function_is_noticed(tmp_path: Path) -> None:
    """The file is the same, but what it reads is not."""
    (tmp_path / "factor.txt").write_text("2.0")
    file = str(tmp_path / "factor.txt")
    code = f"import pathlib\nF = float(pathlib.Path({file!r}).read_text())\ndef embed(t):\n    return [[F, float(len(x))] for x in t]"
    write(tmp_path, "reads.py", code)
    embedder = fit(tmp_path, "reads:embed")
    folder = saved(embedder, tmp_path / "e")
    witness = embedder.witness()
    assert witness is not None
    embedders.replacing(fit(tmp_path, "reads:embed"), folder).embed(TEXTS)
    (tmp_path / "factor.txt").write_text("99.0")
    del sys.modules["reads"]
    now = fit(tmp_path, "reads:embed")
    assert now.fingerprint == embedder.fingerprint and not now.recognises(witness) and embedder.recognises(witness)
    with pytest.raises(EmbedderMismatchError, match="the model behind the function reads:embed is another one now"):
        embedders.replacing(now, folder).embed(TEXTS)
    with pytest.raises(EmbedderMismatchError, match="is another one now"):
        list(embedders.load_callable(folder, "reads:embed", tmp_path).batches(TEXTS))


def test_text_features_stay_beside_it(tmp_path: Path) -> None:
    write(tmp_path, "lengths.py", LENGTHS)
    both = fit(tmp_path, "lengths:embed", normalize=True, text_features={"dim": 3, "min_count": 1})
    assert both.kind == "callable" and both.dim == 5
    folder = saved(both, tmp_path / "e")
    with pytest.raises(EmbedderError, match="a folder may not name code to run"):
        embedders.load(folder, tmp_path)
    base = embedders.load_callable(folder, "lengths:embed", tmp_path)
    assert base.dim == 2
    loaded = embedders.replacing(base, folder)
    assert loaded.fingerprint == both.fingerprint
    np.testing.assert_array_equal(loaded.embed(TEXTS), both.embed(TEXTS))
    assert embedders.replacing(both, folder) is both
    with pytest.raises(
        EmbedderMismatchError, match=r"its fingerprint is callable:.*, the policy's is callable\+tfidf:"
    ):
        embedders.replacing(fit(tmp_path, "lengths:embed", normalize=True, revision="2"), folder)
