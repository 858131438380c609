"""A pytest plugin: a project of tiny notebooks in a temporary folder, in place of the real one."""

import subprocess
import sys
import time

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from hsd_utils import paths, pipeline, provenance

PARAMETERS = """run = "demo"
size = 2  # posts
rate = 1e-3  # of learning
sources = ["a"]
fast = False
seed = 0"""
OPEN = """from pathlib import Path
from hsd_utils import paths

paths.NOTEBOOKS = Path.cwd()  # where a notebook's kernel starts
from hsd_utils.provenance import Stage

stage = Stage("{name}", globals())
out = stage.run.folder / "{name}.txt"
"""
FINISH = 'stage.finish(inputs=[{inputs}], outputs=[out], results={{"{name}": {{"size": size}}}})'


class Project:
    """Notebooks of five cells: title, parameters, opening, work, finish."""

    def __init__(self, folder):
        self.notebooks, self.profiles = folder / "notebooks", folder / "profiles"
        self.outputs = folder / "outputs"
        for place in (self.notebooks, self.profiles):
            place.mkdir()
        self.stage("01_first")
        self.stage("02_second")
        self.profile("demo", "about: nothing changes\n")
        self.profile("small", "01_first: {size: 1}\nrequires: {memory_gb: 0.001}\n")

    def stage(self, name, work="out.write_text(str(size))"):
        """The second reads what the first wrote."""
        inputs = 'stage.run.folder / "01_first.txt"' if name == "02_second" else ""
        cells = [
            new_markdown_cell("# A stage"),
            new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
            new_code_cell(OPEN.format(name=name)),
            new_code_cell(work),
            new_code_cell(FINISH.format(name=name, inputs=inputs)),
        ]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
        nbformat.write(notebook, self.notebooks / f"{name}.ipynb")

    def profile(self, name, text):
        (self.profiles / f"{name}.yaml").write_text(text)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The tiny project; runs go to its ``outputs``."""
    made = Project(tmp_path)
    monkeypatch.setenv("HSD_OUTPUTS", str(made.outputs))
    monkeypatch.setattr(paths, "NOTEBOOKS", made.notebooks)
    monkeypatch.setattr(paths, "PROFILES", made.profiles)
    for module in (provenance, pipeline):
        monkeypatch.setattr(module, "STAGES", ("01_first", "02_second"))
    monkeypatch.setattr(pipeline, "PROFILES", ("demo", "small"))
    return made


# The pipeline on other notebooks than its own: paths first, since names are listed on import.
DRIVER = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, where a shell runs us with &
from hsd_utils import paths
paths.NOTEBOOKS, paths.PROFILES = Path(sys.argv[1]), Path(sys.argv[2])
from hsd_utils import pipeline
sys.exit(pipeline.main(sys.argv[3:]))
"""


def start(project, *words, **more):
    places = [project.notebooks, project.profiles]
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, *places, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def stop(process, number, seconds=30):
    process.send_signal(number)
    return process.communicate(timeout=seconds)


def wait_for(file, process, seconds=60):
    for _ in range(seconds * 20):
        if file.exists() or process.poll() is not None:
            break
        time.sleep(0.05)
    assert file.exists(), process.communicate()
