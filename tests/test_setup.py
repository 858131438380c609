"""The files of the set-up name the same versions, and everything imported is among them."""

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import hsd_utils
from hsd_utils.paths import NOTEBOOKS, REPOSITORY

PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.+!]+)")
# Where versions may stand; README.md repeats some of them for people.
TEXTS = ("Makefile", "requirements.txt", "requirements-gpu.txt", "environment.yml", "README.md")
TESTS = sorted(Path(__file__).parent.glob("*.py"))
TARGETS = ("run", "test", "test-full", "test-browser", "test-label-studio", "lab", "clean")
TARGETS += ("reference", "confirmation", "venv")
COMMITTED = ("reference", "confirmation")  # runs


def same(name):
    """Names as the index compares them."""
    return re.sub(r"[-_.]+", "-", name).lower()


def text(name):
    path = REPOSITORY / name
    return path.read_text() if path.exists() else ""


def lock(name):
    rows = [row for row in text(name).splitlines() if row and not row.startswith("#")]
    wrong = [row for row in rows if not PIN.fullmatch(row)]
    assert not wrong, f"{name}: a lock holds name==version and nothing else, not {wrong}"
    pins = [PIN.fullmatch(row).groups() for row in rows]
    assert len({same(p) for p, _ in pins}) == len(pins), f"{name} names a package twice"
    return {same(package): version for package, version in pins}


PINS = lock("requirements.txt")
GPU = lock("requirements-gpu.txt")
MORE = lock("requirements-ray.txt") | lock("requirements-bench.txt")
MORE |= lock("requirements-browser.txt") | lock("requirements-label-studio.txt")
MORE |= lock("requirements-peers.txt")
PROJECT = tomllib.loads(text("pyproject.toml"))


def test_torch_is_named_once_for_all_and_outside_the_locks():
    assert "torch" not in PINS | GPU and not PINS.keys() & GPU.keys()
    pins = [pin for name in TEXTS for pin in PIN.findall(text(name))]
    named = {version for package, version in pins if package == "torch"}
    assert len(named) == 1
    for name in ("Makefile", "environment.yml"):
        assert f"torch=={min(named)}" in text(name)


def test_every_version_in_a_text_is_the_lock_s():
    for name in TEXTS:
        for package, version in PIN.findall(text(name)):
            known = (PINS | GPU).get(same(package), version)
            assert known == version, f"{name} says {package}=={version}, the lock {known}"


def test_conda_and_make_take_the_same_two_steps():
    conda = yaml.safe_load(text("environment.yml"))
    assert {row.split("=")[0] for row in conda["dependencies"]} == {"python", "pip"}
    for name in ("Makefile", "environment.yml"):
        assert re.search(r"pip install --no-deps -r requirements.txt", text(name))
        assert "-r requirements-gpu.txt" in text(name)
        assert "pip install --no-deps --no-build-isolation --editable ." in text(name)


def test_python_versions_agree():
    (conda,) = re.findall(r"- python=(3\.\d+)", text("environment.yml"))
    assert PROJECT["project"]["requires-python"] == ">=3.11,<3.13"
    assert "(3, 11) <= sys.version_info[:2] <= (3, 12)" in text("Makefile")
    assert conda == "3.11" and PROJECT["tool"]["ruff"]["target-version"] == "py311"
    assert "Python 3.11 or 3.12" in text("Makefile")


def test_no_file_names_an_index_of_packages():
    index = re.compile(r"--(extra-)?index-url|--find-links|-f https?:|/simple\b|pypi|@ https?:")
    for name in (*TEXTS, "pyproject.toml", ".ci/run"):
        found = [row for row in text(name).splitlines() if index.search(row)]
        assert not found, f"{name}: {found}"


def sources():
    """Every piece of Python of the project: (file name, text)."""
    for path in sorted((REPOSITORY / "hsd_utils").rglob("*.py")) + TESTS:
        yield path.name, path.read_text()
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        for cell in json.loads(path.read_text())["cells"]:
            if cell["cell_type"] == "code":
                rows = "".join(cell["source"]).splitlines()
                yield path.name, "\n".join(row for row in rows if row.lstrip()[:1] not in "%!")


def test_every_third_party_import_is_pinned():
    belongs = importlib.metadata.packages_distributions()
    own = {"hsd_utils"} | {path.stem for path in TESTS}
    lost = set()
    for name, code in sources():
        for node in ast.walk(ast.parse(code)):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            for top in {module.split(".")[0] for module in modules} - own:
                if top in sys.stdlib_module_names or top == "torch":
                    continue
                if not {same(d) for d in belongs.get(top, [top])} & (PINS | GPU | MORE).keys():
                    lost.add((name, top))
    assert not lost, f"imported, but in no lock: {sorted(lost)}"


def test_what_a_module_imports_first_of_all_is_declared():
    belongs = importlib.metadata.packages_distributions()
    declared, lost = {same(name) for name in PROJECT["project"]["dependencies"]}, set()
    for path in sorted((REPOSITORY / "hsd_utils").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for top in {name.split(".")[0] for name in names} - {"hsd_utils"}:
                known = {same(d) for d in belongs.get(top, [top])}
                if top not in sys.stdlib_module_names and not known & (declared | MORE.keys()):
                    lost.add((path.name, top))
    assert not lost, f"imported, but not in pyproject.toml: {sorted(lost)}"


def test_declared_dependencies_are_bare_names_of_the_lock():
    declared = PROJECT["project"]["dependencies"]
    assert {same(name) for name in declared} <= PINS.keys() | {"torch"}
    assert declared == sorted(declared)


def test_this_environment_is_the_lock_s():
    found = {name: importlib.metadata.version(name) for name in PINS}
    other = {name: version for name, version in found.items() if version != PINS[name]}
    assert not other, f"installed, but not what requirements.txt says (make venv): {other}"


def test_version_and_licence_agree():
    assert importlib.metadata.version("hsd-utils") == hsd_utils.__version__
    citation = yaml.safe_load(text("CITATION.cff"))
    assert citation["version"] == hsd_utils.__version__
    assert citation["license"] == PROJECT["project"]["license"] == "Apache-2.0"
    assert "Apache License" in text("LICENSE") and "2412.13698" in text("CITATION.cff")


def test_data_files_travel_with_the_package():
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["hsd_utils"]
    package = REPOSITORY / "hsd_utils"
    covered = {p for pattern in patterns for end in ("", "/*") for p in package.glob(pattern + end)}
    data = {p for p in package.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")}
    assert data <= covered, f"not in package-data: {sorted(map(str, data - covered))}"


def make(*words, **options):
    """A call of make; of this Python, unless another is named (to look for one takes a second)."""
    if not any(word.startswith("PYTHON=") for word in words):
        words = (*words, f"PYTHON={sys.executable}")
    return subprocess.run(
        ["make", *words], cwd=REPOSITORY, capture_output=True, text=True, check=False, **options
    )


def test_targets_exist_and_do_their_set_up_first():
    for target in TARGETS:
        done = make("--dry-run", "--always-make", target)
        assert done.returncode == 0, done.stderr
        if target != "clean":
            assert done.stdout.index("-r requirements.txt") > done.stdout.index("-m venv")
            last = done.stdout.strip().splitlines()[-1]
            assert target == "venv" or "touch" not in last
    assert "hsd_utils.pipeline demo --run mine" in make("-nB", "run", "ARGS=--run mine").stdout
    assert "make test" in text(".ci/run")
    quick, full = (make("-nB", target).stdout for target in ("test", "test-full"))
    assert "OMP_NUM_THREADS=1" in quick and "pytest -n 2" in quick
    assert "OMP_NUM_THREADS" not in full and "pytest" in full and "-n 2" not in full


@pytest.mark.parametrize("python", ["no-such-python", "false"])
def test_a_python_that_does_not_fit_gets_one_line_and_touches_nothing(tmp_path, python):
    place = tmp_path / "venv"
    done = make("venv", f"PYTHON={python}", f"VENV={place}")
    assert done.returncode != 0 and not place.exists()
    said = [row for row in done.stderr.splitlines() if not row.startswith("make")]
    assert len(said) == 1 and "needs Python 3.11 or 3.12" in said[0] and python in said[0]


def test_clean_spares_committed_runs_weights_and_the_environment(tmp_path):
    kept = "Makefile outputs/reference/metrics.json outputs/mine/metrics.json .venv/.ready w.gguf"
    gone = "outputs/demo/metrics.json hsd_utils/__pycache__/x.pyc unsloth_compiled_cache/x.py"
    for name in (kept + " " + gone).split():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text("Makefile") if name == "Makefile" else "{}")
    lost = subprocess.run(["make", "clean"], cwd=tmp_path, capture_output=True, text=True)
    assert lost.returncode and "git is not at work here" in lost.stderr
    assert (tmp_path / "outputs/demo/metrics.json").exists()
    for words in (["init", "-q"], ["add", "outputs/mine"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
    left = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert {name for name in left if not name.startswith(".git/")} == set(kept.split())


def test_git_takes_the_committed_runs_measures_and_no_post(tmp_path):
    (tmp_path / ".gitignore").write_text(text(".gitignore"))
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    inside = "metrics.json manifest.json results.md figures/f1.pdf tables/f1.tex stages/04.json "
    inside += "study/results.jsonl study/0123456789abcdef.jsonl"
    taken = [f"outputs/{run}/{name}" for run in COMMITTED for name in inside.split()]
    inside = "samples/eval.jsonl rationales/dev.jsonl predictions/base.jsonl notebooks/01.ipynb "
    inside += "study/teacher-says-1.jsonl study/gold-0/adapter_config.json"
    left = [f"outputs/{run}/{name}" for run in COMMITTED for name in inside.split()]
    taken += ["hsd_utils/corpus/words.yaml", "notebooks/01_sampling.ipynb"]
    left += ["outputs/demo/metrics.json", "outputs/reference/students/a-1/card.md", ".venv/x"]
    for name in taken + left + ["model.safetensors"]:
        done = subprocess.run(["git", "check-ignore", "-q", name], cwd=tmp_path, check=False)
        assert (done.returncode == 1) == (name in taken), name
