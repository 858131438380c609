"""A run without its posts, to share; and the way back for whoever has the posts.

A release holds no text of a post: a hash of each post's id, text and label, labels, scores, the
places of quotes, and explanations in which every quoted phrase and every run of five words
shared with the post is a place in it, ``["They call ", [12, 20], " a burden."]``; in a quote with
slips every word that the post has is one, and a run shared with another post is “█” for good.
``restore`` reads the posts from their sources (``HSD_DATA_DIR``), refuses any that is not the
released one, and makes a run whose ``samples/``, ``rationales/`` and ``predictions/`` are as they
were, and whose teacher's answers are stored, apart from its own: 03 to 08 run again without it.

    python -m hsd_utils.release demo -o demo-release.zip
    python -m hsd_utils.release --restore demo-release.zip again
    python -m hsd_utils.pipeline demo --run again --from 03

Limits: see README.md.  An answer that could not be read comes back without its text; ``altered``
counts what is not as it was.  All P(hate) in the teacher's store go in, as numbers under hashes.
An endpoint's address is among the parameters.
"""

import argparse
import hashlib
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from hsd_utils import answers, paths, posts, provenance, readers, redaction, sampling, scoring
from hsd_utils.engines import ENGINES
from hsd_utils.paths import SPLITS, Run

FORMAT = 2
STAGES = ("01_sampling", "02_cot_teacher")
ABOUT = (
    "Made by hsd_utils.release from a run on hate speech; explanations can be hateful. It holds "
    "no post; sources and teacher keep their licences. The way back: hsd_utils.release --restore."
)


def pack(run: Run, target: Path) -> dict[str, Any]:
    """Write the release of a run to a folder or .zip that is not there yet; returns release.json.

    Raises FileNotFoundError where 01 and 02 have not run, ValueError where the teacher's answers
    are not stored on this machine or a post's text would be in the release (none is written).
    """
    if target.exists():
        raise ValueError(f"{target} is there already: name another place")
    stages = {name: _stage(run, name) for name in STAGES}
    samples = {split: posts.read_jsonl(run.sample(split)) for split in SPLITS}
    every = {post.id: post for sample in samples.values() for post in sample.itertuples()}
    files = {f"samples/{split}": _listed(sample) for split, sample in samples.items()}
    texts = {redaction.digest(post): post.text for post in every.values()}
    known = redaction.runs(texts.values())
    altered, found = 0, [run.rationales("distil"), run.rationales("dev")]
    for path in [*found, *sorted(run.predictions("", "eval").parent.glob("*-eval.jsonl"))]:
        rows = posts.read_rows(path)
        if not {row["id"] for row in rows} <= every.keys():
            raise ValueError(f"{path.name} is of other samples than 01's: run its notebook again")
        pairs = [(row, every[row["id"]]) for row in rows]
        made = [redaction.stripped(*pair, known) for pair in pairs]
        back = [redaction.filled(new, post) for new, (_, post) in zip(made, pairs, strict=True)]
        altered += sum(new != row for new, (row, _) in zip(back, pairs, strict=True))
        files[f"{path.parent.name}/{path.stem}"] = made
    teacher = stages["02_cot_teacher"]["results"]["teacher"]
    teacher |= {"engine_settings": answers.stored(teacher, every), "engine": "released"}
    files["answers"], changed = answers.rows(teacher, every)
    about = {"format": FORMAT, "about": ABOUT, "run": run.name, "stages": stages}
    about |= {"rows": {name: len(rows) for name, rows in files.items()}}
    about |= {"altered": altered + changed}
    redaction.refuse_text(files, about, texts)
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in files.items():
            posts.write_rows(rows, Path(folder) / f"{name}.jsonl")
        provenance.write_json(Path(folder) / "release.json", about)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".zip":
            shutil.make_archive(str(target.with_suffix("")), "zip", folder)
        else:
            shutil.copytree(folder, target)
    return about


def restore(package: Path, run: Run) -> dict[str, Any]:
    """Make a run again from its release and the sources' posts; returns release.json.

    01 and 02 count as done where notebooks and code are those of the release; else name what runs
    without the teacher, as above.  Raises ValueError for a run that is there, a file that is no
    release, and posts that are not the released ones (how many), FileNotFoundError for a missing
    source, RuntimeError where another process has this release's answers.
    """
    if run.folder.exists():
        raise ValueError(f"run {run.name!r} is there already: name another")
    about, files = _read(package)
    asked = about["stages"]["01_sampling"]["manifest"]["parameters"]
    asked["sources"] = [_source(name) for name in asked["sources"]]
    table, _ = sampling.clean(readers.again(asked), asked["anonymise"])
    known = {redaction.digest(post): post for post in table.itertuples()}
    ids = [row["id"] for split in SPLITS for row in files[f"samples/{split}"]]
    if lost := sum(each not in known for each in ids):
        raise ValueError(
            f"{lost} of {len(ids)} posts of the release are not among those of "
            f"{', '.join(asked['sources'])} here, or with another text or label: get the files "
            "whose SHA-256 release.json gives under 'read'"
        )
    teacher = about["stages"]["02_cot_teacher"]["results"]["teacher"]
    # A store of its own: what comes from others never answers for the teacher itself.
    content = json.dumps(files["answers"]).encode()
    teacher["engine_settings"]["identity"]["released"] = hashlib.sha256(content).hexdigest()[:16]
    try:
        _write(run, about, files, known, table)
    except BaseException:  # half a run would stand in the way of the next try
        shutil.rmtree(run.folder, ignore_errors=True)
        raise
    return about


def _write(run: Run, about: dict, files: dict, known: dict, table: pd.DataFrame) -> None:
    teacher = about["stages"]["02_cot_teacher"]["results"]["teacher"]
    with scoring.teacher(teacher) as classifier:  # refused where another process has its store
        for split in SPLITS:
            drawn = table.loc[[known[row["id"]].Index for row in files[f"samples/{split}"]]]
            posts.write_jsonl(drawn, run.sample(split))
        for name, rows in files.items():
            if name.split("/")[0] in ("rationales", "predictions"):
                filled = [redaction.filled(row, known[row["id"]]) for row in rows]
                posts.write_rows(filled, run.folder / f"{name}.jsonl")
        for row in files["answers"]:
            if row["key"] not in classifier.store.offsets:
                classifier.store.adopt(answers.back(row, known, classifier.label_first))
    for name in STAGES:
        manifest = about["stages"][name]["manifest"] | {"restored_from": about["run"]}
        manifest["parameters"]["run"] = run.name
        provenance.write_json(run.results(name), about["stages"][name]["results"])
        for part in ("inputs", "outputs"):
            there = [file for file in manifest[part] if (run.folder / file).is_file()]
            manifest[part] = {file: paths.sha256(run.folder / file) for file in there}
        provenance.write_json(run.stage_manifest(name), manifest)
    provenance.assemble(run)


def _listed(sample: pd.DataFrame) -> list[dict]:
    told = sample[["source", "label", "rationale"]].to_dict("records")
    pairs = zip(sample.itertuples(), told, strict=True)
    return [{"id": redaction.digest(post)} | row for post, row in pairs]


def _stage(run: Run, name: str) -> dict[str, Any]:
    """Manifest and results of a stage; of files of one's own only the name is told."""
    paired = {"manifest": run.stage_manifest(name), "results": run.results(name)}
    found = {part: json.loads(path.read_text(encoding="utf-8")) for part, path in paired.items()}
    if sources := found["manifest"]["parameters"].get("sources"):
        sources[:] = [Path(source).name for source in sources]
    inputs, root = found["manifest"]["inputs"].items(), paths.REPOSITORY
    outside = {f for f, _ in inputs if not (run.folder / f).resolve().is_relative_to(root)}
    told = {Path(f).name if f in outside else f: digest for f, digest in inputs}
    found["manifest"]["inputs"] = told
    return found


def _source(name: str) -> str:
    """A source by name, or the file of that name under ``HSD_DATA_DIR``."""
    file = (paths.data_dir() or Path()) / name
    return str(file.resolve()) if name not in readers.READERS and file.is_file() else name


def _read(package: Path) -> tuple[dict, dict[str, list[dict]]]:
    """release.json and the rows of each file."""
    with tempfile.TemporaryDirectory() as folder:
        if package.is_file():
            shutil.unpack_archive(package, folder, "zip")
            package = Path(folder)
        if not (package / "release.json").is_file():
            raise ValueError(f"{package} is no release: there is no release.json in it")
        about = json.loads((package / "release.json").read_text(encoding="utf-8"))
        if about.get("format") != FORMAT:
            raise ValueError(f"release of format {about.get('format')}, this code reads {FORMAT}")
        # A package comes from others: no name in it may lead to another folder.
        try:
            settings = about["stages"]["02_cot_teacher"]["results"]["teacher"]["engine_settings"]
            listed, engine = list(about["rows"]), settings["identity"]["engine"]
            whole = {"answers", *(f"samples/{split}" for split in SPLITS)} <= set(listed)
            whole = whole and "parameters" in about["stages"]["01_sampling"]["manifest"]
        except (KeyError, TypeError):
            whole = False
        if not whole:
            raise ValueError(f"{package} is no whole release: make it again")
        names = [name for name in listed if re.fullmatch(r"(\w+/)?[\w.-]+", name)]
        if len(names) < len(listed) or engine not in ENGINES:
            raise ValueError(f"{package} names files or an engine that no release has")
        return about, {name: posts.read_rows(package / f"{name}.jsonl") for name in names}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hsd_utils.release", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("run")
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("-o", "--output", type=Path, help="folder or .zip to write")
    way.add_argument("--restore", type=Path, metavar="PACKAGE", help="folder or .zip to read")
    options = parser.parse_args(arguments)
    try:
        run = Run(options.run)
        made = pack(run, options.output) if options.output else restore(options.restore, run)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    rows, altered = sum(made["rows"].values()), made["altered"]
    print(f"{options.output or run.folder}: {rows} rows, {altered} of them come back altered")
    return 0


if __name__ == "__main__":
    sys.exit(main())
