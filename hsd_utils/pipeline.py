"""The notebooks in order, by papermill: one command, several sizes.

A profile (notebooks/profiles/*.yaml) holds only what differs from the notebooks' defaults.
Stages that are done are skipped, a failed one names its notebook and cell, and a rerun goes on
where the last stopped.

    python -m hsd_utils.pipeline demo --run longer -p 03.epochs=3
    python -m hsd_utils.pipeline reference --list
"""

import argparse
import difflib
import io
import json
import os
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from unittest import mock

import papermill
import yaml
from filelock import FileLock, Timeout
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from hsd_utils import claims, engines, paths, preflight, provenance, tables, trial
from hsd_utils.paths import Run
from hsd_utils.provenance import STAGES

PROFILES = tuple(sorted(path.stem for path in paths.PROFILES.glob("*.yaml")))


class Refused(Exception):
    """A command that cannot be carried out, with the reason and what to do."""


def plan(profile: str, run: str, overrides: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
    """Parameters of each stage: the notebook's defaults, the profile's, ``overrides``' and run.

    An override is "03.epochs=2" with a YAML value.  Raises Refused for an unknown profile,
    notebook or parameter and for a value of another type, naming the nearest known name.
    """
    changes = {name: dict(section or {}) for name, section in read_profile(profile)[0].items()}
    for override in overrides:
        target, equals, value = override.partition("=")
        stage, dot, name = target.partition(".")
        if not (equals and dot):
            raise Refused(f"-p {override}: write it as 03.epochs=2")
        try:
            changes.setdefault(resolve(stage), {})[name] = _from_here(yaml.safe_load(value))
        except yaml.YAMLError:
            raise Refused(f"-p {override}: the value is not YAML") from None
    planned = {}
    for stage in STAGES:
        known = provenance.defaults(stage)
        for name, value in changes.get(stage, {}).items():
            if name == "run":
                raise Refused(f"{stage}.run: all notebooks are of one run; name it by --run")
            if name not in known:
                raise Refused(f"{stage} has no parameter {name!r}{_nearest(name, known)}")
            if isinstance(known[name], float) and isinstance(value, str):
                with suppress(ValueError):  # YAML takes 1e-4 for text
                    changes[stage][name] = value = float(value)
            if not _fits(value, known[name]):
                raise Refused(
                    f"{stage}.{name} is {value!r}; it must be like its default {known[name]!r}"
                )
            # As its manifest will have it: JSON makes a mapping's keys strings.
            changes[stage][name] = json.loads(tables.to_json(value))
        planned[stage] = known | changes.get(stage, {}) | {"run": run}
    return planned


def read_profile(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Overrides by notebook, and what the profile ``requires`` of a machine."""
    if name not in PROFILES:
        raise Refused(f"unknown profile {name!r}{_nearest(name, PROFILES)}")
    whole = yaml.safe_load((paths.PROFILES / f"{name}.yaml").read_text(encoding="utf-8")) or {}
    needs, _ = whole.pop("requires", None) or {}, whole.pop("about", None)
    # YAML takes a bare 02 for a number.
    return {resolve(f"{k:02}" if isinstance(k, int) else k): v for k, v in whole.items()}, needs


def resolve(stage: str) -> str:
    """A notebook by its number or name: "03" is 03_qlora_distillation."""
    found = [s for s in STAGES if stage in (s, s[:2], s[3:])]
    if not found:
        raise Refused(f"unknown notebook {stage!r}{_nearest(stage, STAGES)}")
    return found[0]


def _from_here(value: Any) -> Any:
    """Files and folders by their full path, since the notebooks run in a folder of their own.

    A folder is written with a separator (./mymodel): a bare word is a name before it is one.
    """
    if isinstance(value, list):
        return [_from_here(part) for part in value]
    if not isinstance(value, str):
        return value
    here = os.path.isfile(value) or (os.sep in value and os.path.isdir(value))
    return os.path.abspath(value) if here else value


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f": did you mean {near[0]!r}?" if near else f": one of {', '.join(known)}"


def _fits(value: Any, default: Any) -> bool:
    """Of its default's type; a whole number does for a float, nothing but a bool for a bool."""
    kind = int | float if isinstance(default, float) else type(default)
    alike = isinstance(value, bool) == isinstance(default, bool)
    return default is None or (alike and isinstance(value, kind))


def execute(profile: str, run: Run, stages: list[str], planned: dict[str, dict]) -> None:
    """Run the stages that are not done.  Raises Refused when one fails."""
    started = time.perf_counter()
    for stage in stages:
        reason = provenance.stale(run, stage, planned[stage])
        if reason is None:
            say(f"{stage}: done already")
            continue
        say(f"{stage}: running ({reason})")
        clock = time.perf_counter()
        out = run.executed(stage)
        out.parent.mkdir(parents=True, exist_ok=True)
        # Only what differs is injected: the rest can be changed where the notebook sets it.
        usual = provenance.defaults(stage)
        asked = {name: value for name, value in planned[stage].items() if value != usual[name]}
        try:
            with mock.patch.dict(os.environ, trial.allocator() if stage == trial.NOTEBOOK else {}):
                papermill.execute_notebook(
                    str(paths.NOTEBOOKS / f"{stage}.ipynb"),
                    str(out),
                    parameters=asked | {"run": run.name},
                    kernel_name="python3",
                    cwd=str(paths.NOTEBOOKS),
                    progress_bar={"desc": stage, "leave": False},
                    stderr_file=Bars(),
                    extra_arguments=["--log-level=40"],  # its warnings break the progress line
                )
        except PapermillExecutionError as error:
            raise Refused(
                f"{stage} failed at In [{error.exec_count}] ({error.ename}: {error.evalue})\n"
                f"  the partial notebook with the whole trace: {out}\n"
                "  mend it and run the same command again: finished work is not repeated"
            ) from error
        except DeadKernelError as error:
            raise Refused(
                f"{stage}: its kernel was killed, most likely for want of memory: free some, or "
                "choose smaller models or batches, and run the same command again"
            ) from error
        say(f"{stage}: done in {time.perf_counter() - clock:.0f} s")
    say(f"{profile}: finished in {time.perf_counter() - started:.0f} s")
    if run.metrics.exists():
        claims.write(run)
    made = {"results": run.summary, "claims": run.folder / claims.PAGE}
    for what, place in (made | {"figures": run.figure("f1", "png").parent}).items():
        if place.exists():
            say(f"  {what}  {place}")


class Bars(io.TextIOBase):
    """Progress bars and notes of a notebook's cells for the terminal; all else stays in it."""

    def write(self, text: str) -> int:
        if text.startswith("\r"):
            sys.stderr.write(text.rstrip("\n"))
        for line in text.splitlines():
            if line.startswith(engines.NOTE):
                sys.stderr.write(f"\r{line}\n")
        return len(text)

    def flush(self) -> None:
        sys.stderr.flush()


def say(line: str) -> None:
    print(line, flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hsd_utils.pipeline", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("profile", help=", ".join(PROFILES))
    parser.add_argument("--run", help="name of the folder under outputs/ (default: the profile's)")
    parser.add_argument("--from", dest="first", metavar="NN", help="start at this notebook")
    parser.add_argument("--only", metavar="NN", action="append", help="this notebook only")
    parser.add_argument(
        "-p", dest="overrides", metavar="NN.NAME=VALUE", action="append", default=[]
    )
    parser.add_argument("--list", action="store_true", help="show the stages and stop")
    options = parser.parse_args(arguments)
    # The notebooks run in their own folder: a relative path must mean the same there.
    for name in paths.ROOTS:
        if os.environ.get(name):
            os.environ[name] = os.path.abspath(os.environ[name])
    # ... and a kernel imports the code that this process runs, whatever is installed.
    code = [str(paths.REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(code)
    try:
        run = Run(options.run or options.profile)
        planned = plan(options.profile, run.name, options.overrides)
        only = [resolve(s) for s in options.only or STAGES]
        first = resolve(options.first or STAGES[0])
        stages = [s for s in STAGES if s in only and s >= first]
        if options.list:
            _list(run, stages, planned)
            return 0
        if missing := preflight.lacking(read_profile(options.profile)[1]):
            lines = "\n".join(f"  - {line}" for line in missing)
            raise Refused(f"profile {options.profile} cannot run here:\n{lines}")
        run.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(run.folder / ".lock", timeout=0):
            execute(options.profile, run, stages, planned)
    except Timeout:
        print(f"pipeline: run {run.name} is being executed by another process", file=sys.stderr)
        return 1
    except (Refused, OSError, ValueError) as error:
        print(f"pipeline: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("pipeline: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _list(run: Run, stages: list[str], planned: dict[str, dict]) -> None:
    for stage in stages:
        say(f"{stage}  [{provenance.stale(run, stage, planned[stage]) or 'done'}]")
        default = provenance.defaults(stage)
        for name, value in planned[stage].items():
            if value != default[name]:
                say(f"    {name} = {value!r}  (default {default[name]!r})")


if __name__ == "__main__":
    sys.exit(main())
