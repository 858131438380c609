"""The blinded sheet: which posts are rated, in what order, and what a rater sees of each.

Posts are drawn as evenly as they allow over the label and over which model was right, so that
the rare cases are rated too; the weight of each leads back to the population (the mean weight
is 1).  Which model wrote A and which B is drawn an item, half of them each way, and only the key
says which.  Attention checks stand among the posts, look like them and count among the items, so
of the posts alone it is about half.

    items, key = sheet.draw(held_out, {"teacher": rows, "student": others}, n=100, seed=0)
    sheet.write(stage.run, items, key)
"""

import hashlib
import json
from collections.abc import Mapping
from html import escape

import numpy as np
import pandas as pd

from hsd_utils import contamination, posts, spans, verdict
from hsd_utils.paths import Run
from hsd_utils.ratings import ANSWERS, PACE, QUESTIONS, SIDES, rubric

WORDS = ("not hate", "hate")
STYLE = """
.hsd-item mark {background: #ffe08a; color: #000; border-radius: 2px}
.hsd-item p, .hsd-item li {unicode-bidi: isolate; overflow-wrap: anywhere}
.hsd-item p {white-space: pre-wrap}
.hsd-blur {filter: blur(.4em)}
.hsd-blur:hover, .hsd-blur:focus {filter: none}
"""


def draw(
    sample: pd.DataFrame,
    models: Mapping[str, pd.DataFrame],
    *,
    n: int = 100,
    checks: int = 4,
    seed: int,
) -> tuple[list[dict], list[dict]]:
    """Items for raters and, in the same order, the key; the same arguments give the same sheet.

    sample: posts.  models: two names and their predictions on these posts.  If there are fewer
    than n posts, all are taken.  An item holds sheet, item, text, gold, and for A and B label
    and explanations.  A row of the key holds item, id, gold, the model behind A and B, right
    (by model), stratum, weight, and check: for an attention check the answer to correct_own
    expected of A and B, else None.  Raises ValueError for other than two models, posts without
    a prediction, an n that leaves a stratum out.
    """
    if len(models) != 2:
        raise ValueError(f"{len(models)} models: explanations are rated in pairs, so name two")
    generator = np.random.default_rng(seed)
    said = {name: rows.set_index("id") for name, rows in models.items()}
    for name, rows in said.items():
        if absent := set(sample["id"]) - set(rows.index):
            raise ValueError(f"{name}: {len(absent)} posts without a prediction: run 04 again")
    table = sample.set_index("id")
    right = pd.DataFrame({m: rows["predicted"][table.index] for m, rows in said.items()})
    right = right.eq(table["label"], axis=0)
    strata = table["label"].map(dict(enumerate(WORDS)))
    for model in models:
        strata = strata + f", {model} " + np.where(right[model], "right", "wrong")
    sizes = strata.value_counts().sort_index()
    if n < len(sizes):
        raise ValueError(f"n is {n}: at least {len(sizes)}, one for each kind of post there is")
    even = contamination.spread(strata.sort_values().to_frame("kind"), "kind", n)
    taken = even["kind"].value_counts()
    weights = sizes / sizes.sum() * taken.sum() / taken

    pairs = []
    for stratum, ids in strata.groupby(strata).groups.items():
        for post in generator.choice(ids.to_numpy(object), taken[stratum], replace=False):
            answers = {m: _answer(**rows.loc[post]) for m, rows in said.items()}
            row = {"id": post, "gold": int(table["label"][post]), "stratum": stratum}
            row |= {"right": right.loc[post].to_dict(), "weight": float(weights[stratum])}
            pairs.append((table["text"][post], answers, row | {"check": None}))
    for check in rubric()["checks"][:checks]:
        text, label = check["text"], check["label"]
        told = {m: verdict.quotes(verdict.Parsed(label, check[m]), text) for m in _CHECKED}
        row = {"id": None, "gold": label, "stratum": None, "right": {}, "weight": 0.0}
        answers = {m: _answer(label, told[m]) for m in _CHECKED}
        pairs.append((text, answers, row | {"check": _CHECKED}))
    return _blinded(pairs, generator)


_CHECKED = {"right": "yes", "wrong": "no"}  # which answer of a check is to be rated how


def _answer(predicted: int, explanations: list[dict], **_) -> dict:
    """What raters see of a prediction: its label, and explanations with their quotes' places."""
    kept = ("input", "explanation", "start", "end")
    told = [{name: e.get(name) for name in kept} for e in explanations]
    return {"label": int(predicted), "explanations": told}


def _blinded(pairs: list, generator: np.random.Generator) -> tuple[list[dict], list[dict]]:
    swapped = generator.permutation(np.arange(len(pairs)) % 2)
    items, key = [], []
    for number, place in enumerate(generator.permutation(len(pairs)), 1):
        text, answers, row = pairs[place]
        names = list(answers)[::-1] if swapped[place] else list(answers)
        item, sides = f"item-{number:03}", dict(zip(SIDES, names, strict=True))
        shown = {side: answers[name] for side, name in sides.items()}
        items.append({"item": item, "text": text, "gold": row["gold"]} | shown)
        expected = row["check"] and {side: row["check"][name] for side, name in sides.items()}
        key.append({"item": item} | row | sides | {"check": expected})
    content = json.dumps(items, sort_keys=True).encode()
    sheet = "s" + hashlib.sha256(content).hexdigest()[:11]  # no number to a spreadsheet
    return [{"sheet": sheet} | item for item in items], [{"sheet": sheet} | row for row in key]


def write(run: Run, items: list[dict], key: list[dict]) -> None:
    """ratings/sheet.jsonl and instructions.md for raters; the key in another place.

    Those of another sheet, which may be out with raters, stay beside them under its name.
    """
    for path in (run.ratings("sheet.jsonl"), run.ratings_key):
        if path.exists() and (old := posts.read_rows(path)[0]["sheet"]) != items[0]["sheet"]:
            path.replace(path.with_stem(f"{path.stem}-{old}"))
    posts.write_rows(items, run.ratings("sheet.jsonl"))
    posts.write_rows(key, run.ratings_key)
    run.ratings("instructions.md").write_text(instructions(), encoding="utf-8")


def instructions() -> str:
    """What raters read first, as Markdown."""
    told = rubric()
    lines = ["# Rating explanations", "", told["warning"], "", "## Before you begin", ""]
    lines += [f"- {line}" for line in [*told["consent"], f"The pace: {PACE}."]]
    lines += ["", "## Support", "", *(f"- {line}" for line in told["support"])]
    lines += ["", "## Questions", "", "Each is asked of A and of B."]
    lines += ["", *(f"- **{name}**: {told['questions'][name]}" for name in QUESTIONS)]
    lines += ["", "Answers:", "", *(f"- **{name}**: {told['answers'][name]}" for name in ANSWERS)]
    lines += ["", "Keep in mind:", "", *(f"- {line}" for line in told["rules"])]
    lines += ["", "## Ways to rate", ""]
    lines += [*(f"- {line}" for line in told["ways"]), "", "## Worked examples"]
    for example in told["examples"]:
        quoted = [f"“{e['input']}”: {e['explanation']}" for e in example["explanations"]]
        rated = ", ".join(f"{name} {example[name]}" for name in QUESTIONS)
        lines += ["", f"Post: {example['post']}", f"(reference: {example['reference']})", ""]
        lines += [f"Answer: {example['says']}. {' '.join(quoted)}", ""]
        lines += [f"Rating: {rated}. {example['because']}"]
    return "\n".join([*lines, "", told["cites"], ""])


def card(item: dict, side: str, blurred: bool = True) -> str:
    """One side of an item as HTML, all of it escaped, quotes highlighted and numbered.

    Blurred, it is clear while the pointer is over it or it has the focus.
    """
    answer = item[side]
    told = [
        f"<li>“{escape(e['input'])}”: {escape(e['explanation'])}</li>"
        for e in answer["explanations"]
    ]
    blur = ' class="hsd-blur" tabindex="0"' if blurred else ""
    return (
        f"<style>{STYLE}</style>"
        f'<div class="hsd-item tex2jax_ignore mathjax_ignore" dir="auto"><div{blur}>'
        f"<p>{spans.numbered(item['text'], answer['explanations'])}</p>"
        f"<ol>{''.join(told) or '<li>(nothing was explained)</li>'}</ol></div>"
        f"<p>Answer {side} says: <b>{WORDS[answer['label']]}</b>. "
        f"Reference label: <b>{WORDS[item['gold']]}</b>.</p></div>"
    )
