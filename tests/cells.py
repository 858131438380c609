"""Notebooks without a kernel: their code, and what comes of it in this process."""

import ast

import matplotlib.pyplot as plt
import nbformat

from hsd_utils import paths


def code(stage: str) -> list[str]:
    """The sources of a notebook's code cells, the parameters first."""
    made = nbformat.read(paths.NOTEBOOKS / f"{stage}.ipynb", 4)
    return [cell.source for cell in made.cells if cell.cell_type == "code"]


def execute(stage: str, **parameters) -> tuple[dict, list[str]]:
    """The names a notebook leaves behind, and what its cells show for their last line, as text."""
    plt.switch_backend("agg")
    names, shown = {}, []
    for n, source in enumerate(code(stage)):
        cell = ast.parse(source)
        last = cell.body.pop() if isinstance(cell.body[-1], ast.Expr) else None
        exec(compile(cell, f"{stage}, code cell {n}", "exec"), names)
        if last:
            made = eval(compile(ast.Expression(last.value), f"{stage}, end of {n}", "eval"), names)
            shown += [] if made is None else [str(getattr(made, "data", made))]
        names |= parameters if n == 0 else {}
    plt.close("all")
    return names, shown
