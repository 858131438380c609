"""The notebooks and profiles, without running them: form, house rules, and names that exist."""

import ast
import re

import nbformat
import pytest

from hsd_utils import paths, provenance
from hsd_utils.ratings import report

FILES = sorted(paths.NOTEBOOKS.glob("*.ipynb"))
PACKAGE = paths.REPOSITORY / "hsd_utils"
LINES = 25  # of a cell at most; the aim is 15
# Variables of the notebooks that are objects of ours: name -> module and class.
OBJECTS = {"classifier": ("scoring", "Classifier"), "stage": ("provenance", "Stage")}


def notebook(path):
    return nbformat.read(path, as_version=4)


def sources(path):
    return [cell.source for cell in notebook(path).cells if cell.cell_type == "code"]


def code(path):
    return ast.parse("\n".join(sources(path)))


every = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def test_there_are_numbered_stages():
    assert [path.stem for path in FILES] == list(provenance.STAGES) and len(FILES) >= 5
    numbers = [int(path.stem[:2]) for path in FILES]
    assert numbers == list(range(1, len(FILES) + 1))


def test_the_outputs_page_names_every_table_of_06():
    code = "\n".join(sources(paths.NOTEBOOKS / "06_explanations.ipynb"))
    saved = re.findall(r'tables\.save\(\w+, stage\.run, "(\w+)"', code)
    page = (paths.REPOSITORY / "outputs/README.md").read_text(encoding="utf-8")
    names = {*saved, *report.NAMES}
    assert len(saved) == 8 and not [name for name in names if f"`{name}`" not in page]


def test_a_message_tried_in_06_is_no_parameter_and_so_in_no_manifest():
    assert "message" not in provenance.defaults("06_explanations")


@every
def test_form(path):
    made = notebook(path)
    nbformat.validate(made)
    assert made.metadata.kernelspec.name == "python3"
    for cell in made.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None, "committed without outputs"
            assert len(cell.source.splitlines()) <= LINES, cell.source
        assert cell.source.strip() == cell.source != "", f"empty lines around {cell.source[:40]!r}"


@every
def test_the_first_cell_says_what_it_is(path):
    first = notebook(path).cells[0]
    assert first.cell_type == "markdown" and first.source.startswith(f"# {path.stem[:2]} · ")
    for word in ("**Question.**", "**Reads**", "**Writes**", "**Time**"):
        assert word in first.source, word
    shows_posts = re.search(r"\bshow\(|mask\(", "\n".join(sources(path)))
    tables_only = not re.search(r"posts\.show\(|mask\(", "\n".join(sources(path)))
    assert "Content warning" in first.source or not shows_posts or tables_only


@every
def test_parameters_are_literals_with_a_comment(path):
    tagged = [c for c in notebook(path).cells if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1 and notebook(path).cells[1] == tagged[0]
    rows = tagged[0].source.splitlines()
    statements = ast.parse(tagged[0].source).body
    assert len(rows) == len(statements), "one parameter a line"
    for row, statement in zip(rows, statements, strict=True):
        ast.literal_eval(statement.value)
        assert isinstance(statement, ast.Assign) and re.search(r"  # \S", row), row
    found = provenance.defaults(path.stem)
    assert list(found) == [s.targets[0].id for s in statements]
    assert found["run"] == "demo" and {"seed", "reveal"} <= set(found) and found["reveal"] is False


@every
def test_every_parameter_is_used_or_says_that_it_is_not(path):
    parameters, rest = sources(path)[0], ast.parse("\n".join(sources(path)[1:]))
    used = {node.id for node in ast.walk(rest) if isinstance(node, ast.Name)} | {"run"}
    for row in parameters.splitlines():
        excused = "unused" in row or "shows no posts" in row
        assert row.split(" = ")[0] in used or excused, row


@every
def test_house_rules(path):
    text = "\n".join(cell.source for cell in notebook(path).cells)
    forbidden = (
        r"if False|if 0:|pip install|conda install|hf_[A-Za-z0-9]{10}|token\s*="
        r"|^[!%]|getenv|os\.environ"
        r"|(?<![\w.*])/(home|root|work|tmp|content|Users)/|[A-Z]:\\\\"
    )
    assert not re.search(forbidden, text, re.MULTILINE)
    for node in ast.walk(code(path)):
        assert not isinstance(node, ast.ClassDef)
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 10, "long functions go to hsd_utils"


@every
def test_it_ends_in_a_manifest_and_lists_all_figures_and_tables(path):
    tree = code(path)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    opened = [c for c in calls if ast.unparse(c.func) == "Stage"]
    assert [ast.literal_eval(c.args[0]) for c in opened] == [path.stem]
    (finish,) = [c for c in calls if ast.unparse(c.func) == "stage.finish"]
    for kind, position in (("figures", 2), ("tables", 2)):
        saved = {
            ast.unparse(c.args[position]) for c in calls if ast.unparse(c.func) == f"{kind}.save"
        }
        listed = {
            ast.unparse(argument)
            for c in ast.walk(finish)
            if isinstance(c, ast.Call) and ast.unparse(c.func) == f"stage.run.{kind}"
            for argument in c.args
        }
        assert saved == listed, f"{kind} saved and listed as outputs differ"
    after = sources(path)[[i for i, s in enumerate(sources(path)) if "stage.finish(" in s][0] + 1 :]
    assert all("write" not in s or "summary.write" in s for s in after), (
        "written after the manifest"
    )


def definition(module, name, owner=None):
    """The node that defines a name of a module (or of a class in it), through re-exports."""
    if (PACKAGE / module / f"{name}.py").exists():
        return ast.parse((PACKAGE / module / f"{name}.py").read_text())
    file = PACKAGE / f"{module}.py"
    file = file if file.exists() else PACKAGE / module / "__init__.py"
    body = ast.parse(file.read_text()).body
    if owner:
        (body,) = [n.body for n in body if isinstance(n, ast.ClassDef) and n.name == owner]
    for node in body:
        names = [getattr(node, "name", None)]
        if isinstance(node, ast.Assign):
            names += [getattr(target, "id", None) for target in node.targets]
        if isinstance(node, ast.AnnAssign):  # a field of a dataclass
            names.append(node.target.id)
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if name == (alias.asname or alias.name):
                    parts = node.module.split(".")
                    ours = parts[0] == "hsd_utils" and len(parts) == 2
                    return definition(parts[1], alias.name) if ours else node
        if name in names:
            return node
    raise AssertionError(f"{module}{'.' + owner if owner else ''} has no {name}")


def check_call(call, function):
    arguments, method = (
        function.args,
        function.args.args[:1] and function.args.args[0].arg == "self",
    )
    positional = [a.arg for a in arguments.args][bool(method) :]
    known = {*positional, *(a.arg for a in arguments.kwonlyargs)}
    named = [k.arg for k in call.keywords if k.arg]
    given = len([a for a in call.args if not isinstance(a, ast.Starred)])
    where = f"{ast.unparse(call)[:90]}: {function.name}"
    assert arguments.kwarg or set(named) <= known, f"{where} knows {sorted(known)}"
    assert arguments.vararg or given <= len(positional), f"{where} takes {positional}"
    open_ended = len(named) < len(call.keywords) or given < len(call.args)
    required = positional[: len(positional) - len(arguments.defaults)]
    defaults = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    required += [a.arg for a, default in defaults if default is None]
    missing = set(required) - set(named) - set(positional[:given])
    assert open_ended or not missing, f"{where} needs {missing}"


@every
def test_names_and_arguments_of_ours_exist(path):
    tree, modules = code(path), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "hsd_utils":
            modules |= {alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("hsd_utils."):
            package = "/".join(node.module.split(".")[1:])
            for alias in node.names:
                if isinstance(definition(package, alias.name), ast.Module):
                    modules[alias.name] = f"{package}/{alias.name}"
    found = {}
    shadowed = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and not _loaded(n)}
    assert not shadowed & modules.keys(), "a variable hides a module"
    for node in (n for n in ast.walk(tree) if isinstance(n, ast.Attribute)):
        base = ast.unparse(node.value)
        if base in modules:
            found[node] = definition(modules[base], node.attr)
        elif base in OBJECTS and node.attr not in ("run", "parameters"):
            found[node] = definition(OBJECTS[base][0], node.attr, OBJECTS[base][1])
        elif base == "stage.run":
            found[node] = definition("paths", node.attr, "Run")
    assert found
    for call in (n for n in ast.walk(tree) if isinstance(n, ast.Call)):
        if isinstance(found.get(call.func), ast.FunctionDef):
            check_call(call, found[call.func])


def _loaded(name):
    return isinstance(name.ctx, ast.Load)
