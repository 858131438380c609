"""A language model rates the blinded sheet: optional, never evidence, compared with people.

It is asked the questions of ``ratings`` about each answer of an item, by any engine, and does
not learn which model wrote it.  Judges of this kind favour long and fluent answers (Zheng et al.
2023, arXiv 2306.05685), so what counts is how far one agrees with people, where people rated.

    rated = judge.rate(items, {"engine": "openvino", "model": "Qwen2.5-Coder-1.5B-Instruct"})
    table = judge.compare(rated, key, people)
"""

from collections.abc import Mapping
from typing import Any

import json_repair
import pandas as pd

from hsd_utils import engines, prompts, statistics, verdict
from hsd_utils.engines import Request
from hsd_utils.ratings import QUESTIONS, SCALE, SIDES, agreement, results, rubric
from hsd_utils.ratings.sheet import WORDS
from hsd_utils.store import Store

KIND = "judge"  # not among ratings.KINDS: a file of such ratings is refused as people's
MAX_TOKENS = 60
SCHEMA = verdict.closed({name: {"type": "string", "enum": list(SCALE)} for name in QUESTIONS})


def rate(items: list[dict], asked: Mapping[str, Any]) -> pd.DataFrame:
    """A row an item and side: kind, sheet, rater (the model), item, side, QUESTIONS.

    asked: engine, model and, if need be, engine_settings.  An answer that cannot be read is
    None.  Answers are stored as they arrive.  Raises ValueError without engine or model.
    """
    if not {"engine", "model"} <= set(asked):
        raise ValueError('a judge needs both: {"engine": "openvino", "model": "..."}')
    engine = engines.load(asked["engine"], asked["model"], **asked.get("engine_settings", {}))
    schema = SCHEMA if engine.constrained else None
    sides = [(f"{item['item']} {side}", item, side) for item in items for side in SIDES]
    form = {"schema": schema, "max_tokens": MAX_TOKENS}
    requests = [Request(key, messages(item, side), **form) for key, item, side in sides]
    with Store.open(engine.identity) as store:
        answers = store.collect(engine, requests)
    rows = []
    for key, item, side in sides:
        row = {"kind": KIND, "sheet": item["sheet"], "rater": asked["model"]}
        row |= {"item": item["item"], "side": side}
        rows.append(row | _read(answers[key].text))
    return pd.DataFrame(rows, dtype=object)


def messages(item: Mapping[str, Any], side: str) -> list[dict[str, str]]:
    """The conversation about one answer: the raters' rules and questions, the post, the answer."""
    told = rubric()
    rules = [told["judge"], *told["rules"]]
    rules += [f'"{name}": {told["questions"][name]}' for name in QUESTIONS]
    rules += [f'"{name}": {told["answers"][name]}' for name in SCALE[::-1]]
    answer = item[side]
    lines = [f"<post>{prompts.shield(item['text'])}</post>"]
    lines += [f"Reference label: {WORDS[item['gold']]}", f"The answer: {WORDS[answer['label']]}"]
    for e in answer["explanations"]:
        lines.append(prompts.shield(f"- “{e['input']}”: {e['explanation']}"))
    contents = {"system": "\n".join(rules), "user": "\n".join(lines)}
    return [{"role": role, "content": content} for role, content in contents.items()]


def _read(text: str) -> dict[str, str | None]:
    found = json_repair.loads(text)  # which reads what is whole as json does
    found = found if isinstance(found, dict) else {}
    return {q: found.get(q) if found.get(q) in SCALE else None for q in QUESTIONS}


def compare(
    judged: pd.DataFrame, key: list[dict], people: pd.DataFrame | None = None
) -> pd.DataFrame:
    """A row a question: share of yes of each model, and agreement with people's ratings.

    answers, unread: how many could be used and not.  rated, alike, kappa, AC1: answers that
    people rated too (their lower median), the share that is the same, and beyond chance; None
    without people.
    """
    mine, rows = results.joined(judged, key), []
    theirs = mine.assign(rank=float("nan")) if people is None else results.joined(people, key)
    both = mine.merge(theirs, on=["item", "model", "question"], suffixes=("", "_people"))
    for question in QUESTIONS:
        said = mine[mine["question"] == question]
        row = {"question": question, "answers": int(said["rank"].notna().sum())}
        row["unread"] = len(said) - row["answers"]
        for model, part in said.dropna(subset="rank").groupby("model"):
            yes = int((part["rank"] == SCALE.index("yes")).sum())
            row[model] = statistics.wilson(yes, len(part))
        pair = both.loc[both["question"] == question, ["rank", "rank_people"]].dropna()
        row |= {"rated": len(pair), "alike": None, "kappa": None, "AC1": None}
        if len(pair):
            row["alike"] = float((pair["rank"] == pair["rank_people"]).mean())
            (row["kappa"],) = agreement.cohen(pair).values()
            row["AC1"] = agreement.ac1(pair, len(SCALE))
        rows.append(row)
    return pd.DataFrame(rows)
