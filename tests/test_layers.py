"""Imports run one way, down the layers; what is light stays light; files stay short."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest

from hsd_utils.paths import REPOSITORY

# From the bottom up.  A module may import from its own layer and from those before it.
LAYERS = {
    "data": "paths machine posts readers near_duplicates sampling earlier corpus",
    "language": "verdict copying prompts spans redaction",
    "models": "download models export int8 engines store scoring objectives batches checkpoints "
    "training encoder classifiers baselines retrieval",
    "measures": "metrics statistics timing rationales predictions bootstrap calibration "
    "explanations plausibility faithfulness narrowing reasons hatexscore analysis_plan subgroups "
    "prevalence robustness contamination annotators breadth policy ablations",
    "report": "look figures tables ratings provenance cards summary verdict_card figures_shift "
    "figures_study ledger judge claim_ratings claim_tests claims pages",
    "pipeline": "preflight pipeline detect answers release bench supervision trial study",
}
LAYER = {module: layer for layer, names in LAYERS.items() for module in names.split()}
ORDER = list(LAYERS)
HEAVY = ("torch", "transformers", "unsloth", "trl", "peft", "openvino_genai", "papermill")
PACKAGE = REPOSITORY / "hsd_utils"
FILES = {path.relative_to(PACKAGE): path for path in sorted(PACKAGE.rglob("*.py"))}


def module_of(relative):
    return relative.parts[0].removesuffix(".py")


def imported(tree):
    """Names as in import statements, wherever they stand: (own modules, top-level others)."""
    own, others = set(), set()
    for node in ast.walk(tree):
        assert not getattr(node, "level", 0), "imports are absolute"
        if isinstance(node, ast.ImportFrom) and node.module == "hsd_utils":
            own |= {alias.name for alias in node.names}
        named = [node.module] if isinstance(node, ast.ImportFrom) else []
        named += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in named:
            top, _, rest = name.partition(".")
            if top == "hsd_utils":
                own |= {rest.split(".")[0]} - {""}
            else:
                others.add(top)
    return own, others


IMPORTS = {relative: imported(ast.parse(path.read_text())) for relative, path in FILES.items()}


def test_every_module_has_a_layer_and_every_name_a_module():
    found = {module_of(relative) for relative in FILES} - {"__init__"}
    assert found == set(LAYER)


def test_imports_run_down_the_layers():
    wrong = {
        f"{relative} ({LAYER[module_of(relative)]}) imports {name} ({LAYER[name]})"
        for relative, (own, _) in IMPORTS.items()
        if module_of(relative) in LAYER
        for name in own
        if ORDER.index(LAYER[name]) > ORDER.index(LAYER[module_of(relative)])
    }
    assert not wrong


def test_imports_go_in_no_circle():
    graph = {}
    for relative, (own, _) in IMPORTS.items():
        module = module_of(relative)
        graph.setdefault(module, set()).update(own - {module})
    TopologicalSorter(graph).prepare()  # raises CycleError, naming the circle


def test_only_training_imports_unsloth():
    users = {str(relative) for relative, (_, others) in IMPORTS.items() if "unsloth" in others}
    assert users == {"training.py"}


def test_data_language_and_measures_import_nothing_heavy():
    light = [m for m, layer in LAYER.items() if layer in ("data", "language", "measures")]
    code = "import sys, hsd_utils.metrics, hsd_utils.statistics\n"
    code += "assert 'matplotlib' not in sys.modules\n"
    code += f"import {', '.join(f'hsd_utils.{name}' for name in light)}\n"
    code += f"print([name for name in {HEAVY} if name in sys.modules])"
    # Nor do the command lines load a model library before they answer.
    code += "\nimport hsd_utils.detect, hsd_utils.pipeline\n"
    code += "print([n for n in ('torch', 'unsloth', 'openvino_genai') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"], done.stdout + done.stderr


@pytest.mark.parametrize("path", FILES.values(), ids=map(str, FILES))
def test_a_file_is_short_and_says_what_it_is_for(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 250
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring and len(docstring.splitlines()[0]) > 20
    assert {"utils", "helpers", "common", "misc"}.isdisjoint(path.stem.split("_"))
    if path.name != "__init__.py" or path.parent != PACKAGE:
        indented = [row for row in docstring.splitlines() if row.startswith("    ")]
        example = "python -" in docstring or re.search(r"\w\(", docstring)
        assert indented or example, "a module's docstring shows how it is used"


def test_no_file_of_the_project_is_long():
    files = [*REPOSITORY.glob("tests/*.py"), *REPOSITORY.glob("notebooks/profiles/*.yaml")]
    long = {path.name for path in files if len(path.read_text().splitlines()) > 250}
    assert not long
