"""Posts in, verdicts out: the distilled detector on a file or from Python.

Every row of the input is accounted for: a verdict, or the reason why there is none.  Answers are
stored as they arrive, so an interrupted run of the same command goes on where it stopped.

    python -m hsd_utils.detect posts.csv -o verdicts.csv --run demo
    verdicts = list(Detector.of_run("demo").read(["some post", "another"]))
"""

import argparse
import csv
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pandas as pd

from hsd_utils import paths, prompts, sampling, scoring, spans, verdict
from hsd_utils.paths import Run
from hsd_utils.ratings import spreadsheet
from hsd_utils.readers import tables

COLUMNS = ("row", "id", "label", "p_hate", "quotes", "explanation", "note")
CHUNK = 256  # posts asked about before their verdicts are written


@dataclass
class Detector:
    """A model of a run: what opens it as a classifier, its threshold of P(hate), and whether the
    posts it learned from had their mentions and links replaced.

    Raises FileNotFoundError from ``of_run`` for a run that was not evaluated.
    """

    open: Callable[[], AbstractContextManager[scoring.Classifier]]
    threshold: float
    anonymise: bool = True

    @classmethod
    def of_run(cls, name: str, engine: str | None = None, model: str = "student") -> "Detector":
        """The student of a run, or its teacher (or, to compare, the base), in a run's own engine.

        engine: another one for base and student.
        """
        run = Run(name)
        source = "02_cot_teacher" if model == "teacher" else "03_qlora_distillation"
        missing = [s for s in (source, "04_evaluation") if not run.results(s).exists()]
        if missing:
            raise FileNotFoundError(
                f"run {name!r} has no {' and '.join(missing)}: "
                f"python -m hsd_utils.pipeline demo --run {name}"
            )
        made, evaluated = run.measured(source), run.measured("04_evaluation")
        anonymise = run.parameters("01_sampling")["anonymise"]
        how = evaluated["models"][model]["threshold"], anonymise
        if model == "teacher":
            return cls(partial(scoring.teacher, made["teacher"]), *how)
        asked, adapter = dict(evaluated["asked"]), None
        if engine is not None and engine != asked["engine"]:
            asked |= {"engine": engine, "engine_settings": {}}
        if model == "student":
            adapter = run.student(made["student"]["folder"])
            if not (adapter / "adapter_model.safetensors").exists():
                source = run.parameters("01_sampling").get("kept_from") or name
                profile = source if (paths.PROFILES / f"{source}.yaml").exists() else "demo"
                raise FileNotFoundError(
                    f"run {name!r} has no student's weights, which are not published, only what "
                    f"was measured: train it by python -m hsd_utils.pipeline {profile} "
                    f"--run {name}-again, and name that run"
                )
        return cls(partial(scoring.student, made["student"], asked, adapter), *how)

    def read(self, texts: Iterable[str]) -> Iterator[dict[str, Any]]:
        """A verdict for each text, in order; see ``verdicts``."""
        with self.open() as classifier:
            waiting = iter(texts)
            while chunk := list(islice(waiting, CHUNK)):
                yield from self.verdicts(classifier, chunk)

    def verdicts(self, classifier: scoring.Classifier, texts: list[Any]) -> list[dict[str, Any]]:
        """label (0, 1 or None), p_hate, explanations with their quotes' offsets, and a note.

        Offsets point into the text as it was given.  A text that is empty or no text gets no
        label and a note that says so; one that is too long is judged by its beginning.
        """
        # Models were measured on cleaned posts; quotes are looked up in the text as given.
        clean = partial(sampling.clean_text, anonymise=self.anonymise)
        cleaned = {str(n): clean(t) for n, t in enumerate(texts) if isinstance(t, str)}
        usable = {key: text for key, text in cleaned.items() if text}
        posts = pd.DataFrame({"id": list(usable), "text": list(usable.values())}, dtype=object)
        found = {}
        if usable:
            p_hate = classifier.p_hate(posts)
            predicted = p_hate >= self.threshold
            # The answer is asked for under the prediction at once, one generation a post; a model
            # that explains first has given it.
            first = not (classifier.label_first or classifier.explain_with)
            given = classifier.generate(posts) if first else None
            rows = classifier.explain(posts, p_hate, predicted, given)
            rows = classifier.requoted(posts, rows)
            found = {row["id"]: row for row in rows}
        return [
            self._verdict(found.get(str(n)), text, cleaned.get(str(n)))
            for n, text in enumerate(texts)
        ]

    def _verdict(self, row: dict[str, Any] | None, text: Any, cleaned: Any) -> dict[str, Any]:
        if row is None or row["p_hate"] is None:
            note = "no text" if row is None else "no answer: too long for the engine, or it failed"
            return {"label": None, "p_hate": None, "explanations": [], "note": note}
        notes = ["judged by its beginning"] if prompts.is_cut(cleaned) else []
        notes += [f"explanation: {row['reason']}"] if row["reason"] else []
        return {
            "label": row["predicted"],
            "p_hate": row["p_hate"],
            "explanations": [_as_given(e, cleaned, text) for e in row["explanations"]],
            "note": "; ".join(notes),
        }


def _as_given(quote: dict[str, Any], cleaned: str, text: str) -> dict[str, Any]:
    """The quote with its place in the text as given.

    By whole words where it stands so in the cleaned text alone: it has a mention or a link in it.
    """
    place = asdict(verdict.locate(quote["input"], text))
    if place["how"] in (None, "fuzzy") and quote["how"] is not None:
        words = spans.as_given(text)
        first = len(cleaned[: quote["start"] + 1].split()) - 1
        last = len(cleaned[: quote["end"]].split()) - 1
        place = {"start": words[first][0], "end": words[last][1], "how": quote["how"]}
    return quote | place


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hsd_utils.detect", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "posts", type=Path, help="CSV, TSV, JSON Lines or Parquet with a text column"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="CSV of verdicts")
    parser.add_argument("--run", default="demo", help="run whose model is used")
    parser.add_argument("--model", choices=("student", "teacher", "base"), default="student")
    parser.add_argument("--engine", help="of base and student (default: the run's)")
    parser.add_argument("--text-column", default="text")
    parser.add_argument("--id-column", help="(default: id, where there is one)")
    options = parser.parse_args(arguments)
    try:
        if options.output.resolve() == options.posts.resolve():
            raise ValueError("the verdicts would replace the posts: name another file by -o")
        detector = Detector.of_run(options.run, options.engine, options.model)
        needed = filter(None, [options.text_column, options.id_column])
        frame, counts = tables.load(options.posts, [*needed], ["id"])
        frame = frame.reindex(range(counts["read"]))  # a row that could not be read has no text
        done = _write(detector, frame, options)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"detect: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("detect: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    print(f"{len(frame)} rows, {done} with a verdict: {options.output}")
    for reason, count in counts["dropped"].items():
        print(f"{count} rows of the input could not be read ({reason})")
    return 0


def _write(detector: Detector, frame: pd.DataFrame, options: argparse.Namespace) -> int:
    """Verdicts as they come; the file has its name only when all rows are in it."""
    part, done = options.output.with_name(options.output.name + ".part"), 0
    known = frame.get(options.id_column or "id")
    ids = frame.index + 1 if known is None else known.fillna("")
    verdicts = detector.read(frame[options.text_column])
    first = [*islice(verdicts, 1)]  # where the same command is at work this raises, before it opens
    with open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        for row, (key, found) in enumerate(zip(ids, chain(first, verdicts), strict=True), 1):
            done += found["label"] is not None
            told = found["explanations"]
            record = found | {
                "row": row,
                "id": key,
                "quotes": " | ".join(e["input"] for e in told if e["how"] is not None),
                "explanation": " ".join(e["explanation"] for e in told),
            }
            writer.writerow({k: _safe(v) if isinstance(v, str) else v for k, v in record.items()})
            file.flush()
    part.replace(options.output)
    return done


def _safe(cell: str) -> str:
    """No formula, and no lone surrogate, which cannot be written."""
    return spreadsheet.neutralise(cell.encode("utf-8", "replace").decode())


if __name__ == "__main__":
    sys.exit(main())
