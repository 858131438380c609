"""The demonstration corpus: posts composed for this project, so that the demo needs no data.

Templates written by hand (``templates/<style>.yaml``), word lists (``words.yaml``), the looks of
each style (``styles.yaml``) and the cases that templates stand for (``functionalities.yaml``, in
the spirit of HateCheck, Roettger et al. 2021) are data; this module only fills them in.  In a
template ``{spot}`` is an entry of that list, ``{a|b}`` one of the words given, and ``[ ]`` holds
the words that decide the label: the hateful phrase of a hateful post, and in a hard negative the
phrase that makes it one.

Content warning: the posts are mild, but half of them attack groups of people.  DATA_CARD.md
says how the corpus was made and what it is not for.

    python -c "from hsd_utils import corpus; print(corpus.build()['text'][0])"
"""

import hashlib
import random
import re
from collections.abc import Iterator
from importlib.resources import files

import pandas as pd
import yaml

from hsd_utils import posts

POSTS_PER_TEMPLATE = 4
_SLOT = re.compile(r"\{([^{}]*)\}")
_SENTENCE_START = re.compile(r"(^|[.?!]\s)([\[\"]*[a-z])")
_SLOTS_OF_A_GROUP = {"many", "one", "adj"}


def build(seed: int = 0) -> pd.DataFrame:
    """All posts as the one table of ``posts.py``; the same seed gives the same posts.

    ``source`` is "corpus/<style>", ``group`` the template, ``target`` the group spoken of (NA if
    none), ``rationale`` the deciding words, ``explanation`` one sentence.  Every template draws
    from a generator of its own, so that a changed one leaves the words of the others alone.
    Raises ValueError where a template cannot give enough different posts.
    """
    words, cases = _data("words.yaml") | _data("styles.yaml"), _data("functionalities.yaml")
    rows, seen = [], set()
    for number, (style, functionality, group, template) in enumerate(templates()):
        label = int(functionality in cases["hateful"])
        explain = cases["hateful" if label else "non_hateful"][functionality]["explain"]
        draw = random.Random(f"{seed} {group}")
        for post in range(POSTS_PER_TEMPLATE):
            # Round robin, so that every target is met as often in both classes.
            targets = list(words["targets"])
            target = targets[(number * POSTS_PER_TEMPLATE + post) % len(targets)]
            for _ in range(100):
                text, spans, drawn = _compose(template, words, style, target, draw)
                if text not in seen:
                    break
            else:
                raise ValueError(f"template {group} repeats itself: give it more {{slots}}")
            seen.add(text)
            row = {"source": f"corpus/{style}", "text": text, "label": label, "group": group}
            row["id"] = "corpus-" + hashlib.sha256(text.encode()).hexdigest()[:8]
            row["target"] = target if _SLOTS_OF_A_GROUP & set(drawn) else None
            row["rationale"], row["functionality"], row["language"] = spans, functionality, "en"
            row["explanation"] = _explanation(explain, drawn, target, draw)
            rows.append(row)
    return posts.make(rows)


def templates() -> Iterator[tuple[str, str, str, str]]:
    """Style, functionality, name (``<style>/<functionality>/<n>``) and text of every template."""
    for style in _data("styles.yaml")["styles"]:
        for functionality, texts in _data(f"templates/{style}.yaml").items():
            for place, text in enumerate(texts, 1):
                yield style, functionality, f"{style}/{functionality}/{place}", text


def _data(name: str) -> dict:
    return yaml.safe_load((files(__package__) / name).read_text(encoding="utf-8"))


def _compose(template: str, words: dict, style: str, target: str, draw: random.Random):
    """Text, spans and the words drawn for one post: template, opener and closer, style."""
    look, drawn = words["styles"][style], {}
    lists = words["lists"] | draw.choice(words["targets"][target])
    around = [_fill(draw.choice(look[part]), lists, {}, draw) for part in ("open", "close")]
    body = _fill(template.strip(), lists, drawn, draw)
    text = look["join"].join(filter(None, (around[0], body, around[1])))
    text = _SENTENCE_START.sub(lambda start: start[1] + start[2].upper(), text)
    for formal, loose in words["spellings"].items():
        if draw.random() < look["sloppy"]:
            text = re.sub(rf"\b{formal}\b(?!')", loose, text)
    chance = draw.random()
    if chance < look["lower"]:
        text = text.lower()
    elif chance > 1 - look["upper"]:
        text = text.upper()
    return *_unbracket(text), drawn


def _fill(text: str, lists: dict, drawn: dict, draw: random.Random) -> str:
    """Replace the slots, those within list entries too; a slot met again keeps its words."""

    def entry(slot: re.Match) -> str:
        name = slot[1]
        if name not in drawn:
            options = name.split("|") if "|" in name else lists[name]
            drawn[name] = _fill(draw.choice(options), lists, drawn, draw)
        return drawn[name]

    return _SLOT.sub(entry, text)


def _unbracket(text: str) -> tuple[str, list[list[int]]]:
    """The text without its brackets, and the offsets of what they held."""
    parts = re.split(r"[\[\]]", text)
    ends = [sum(map(len, parts[: n + 1])) for n in range(len(parts))]
    return "".join(parts), [[ends[n - 1], ends[n]] for n in range(1, len(parts), 2)]


def _explanation(variants: list[str], drawn: dict, target: str, draw: random.Random) -> str:
    """The most specific of the sentences whose slots the post drew."""
    known = drawn | {"target": target}
    usable = [v for v in variants if set(_SLOT.findall(v)) <= set(known)]
    most = max(len(_SLOT.findall(v)) for v in usable)
    chosen = draw.choice([v for v in usable if len(_SLOT.findall(v)) == most])
    return _SLOT.sub(lambda slot: known[slot[1]], chosen)
