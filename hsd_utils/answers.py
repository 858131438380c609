"""The teacher's stored answers as rows of a release without the posts' words, and back again.

Of three kinds are rows: P(hate), as numbers; whole answers about a post, as label and stripped
explanations; and second halves of posts that 07 had the teacher write, stripped.  ``known`` and
``every`` are posts, by digest and by id.

    rows, altered = answers.rows(teacher, {post.id: post for post in table.itertuples()})
"""

from dataclasses import replace
from functools import partial
from typing import Any

from hsd_utils import contamination, redaction, scoring, verdict
from hsd_utils.engines import Answer
from hsd_utils.store import identities, key

_PAID = ("prompt_tokens", "answer_tokens", "seconds", "finish")


def _asked(classifier: scoring.Classifier, every: dict) -> dict[str, Any]:
    """Posts by the keys of all whole answers that notebooks ask of the teacher about them."""
    told = [replace(classifier, converse=partial(classifier.converse, gold=g)) for g in (0, 1)]
    ways = [*((classifier, label) for label in (None, 0, 1)), (told[0], 0), (told[1], 1)]
    return {
        key(asking.answer_request(post.id, post.text, label)): post
        for post in every.values()
        for asking, label in ways
    }


def stored(teacher: dict, every: dict) -> dict[str, Any]:
    """Settings of the engine ``released`` whose store holds most answers about these posts."""
    best, most = None, 0
    own = teacher.get("engine_settings", {}).get("identity")  # of a run that was restored
    for identity in identities():
        if "released" in identity and identity != own:  # of another's release
            continue
        for constrained in (True, False) if identity["model"] == teacher["model"] else ():
            settings = {"identity": identity, "constrained": constrained}
            asked = teacher | {"engine": "released", "engine_settings": settings}
            with scoring.teacher(asked) as classifier:
                held = len(_asked(classifier, every).keys() & classifier.store.offsets.keys())
            best, most = (settings, held) if held > most else (best, most)
    if best is None:
        need = "make the release on the machine, and with the prompts, of the run"
        raise ValueError(f"no answer of {teacher['model']} to these posts is in HSD_CACHE: {need}")
    return best


def rows(teacher: dict, every: dict) -> tuple[list[dict], int]:
    """Rows of the teacher's stored answers, and how many come back altered."""
    known = redaction.runs(post.text for post in every.values())
    made, altered = [], 0
    with scoring.teacher(teacher) as classifier:
        asked = _asked(classifier, every)
        halves = {key(contamination.half_request("", p.text)): p for p in every.values()}
        for answer in classifier.store:
            row = {"key": answer.key} | {name: getattr(answer, name) for name in _PAID}
            if answer.probabilities:
                made.append(row | {"probabilities": answer.probabilities})
            elif post := halves.get(answer.key):
                written = redaction.strip(answer.text, post.text, (), [answer.text], known)
                made.append(row | {"id": redaction.digest(post), "written": written})
                altered += redaction.fill(written, post.text) != answer.text
            elif post := asked.get(answer.key):
                parsed = verdict.parse(answer.text)
                told = {"explanations": verdict.quotes(parsed, post.text)}
                row |= {name: getattr(parsed, name) for name in ("label", "reason", "repaired")}
                made.append(redaction.stripped(row | told, post, known))
                text = back(made[-1], {redaction.digest(post): post}, classifier.label_first).text
                altered += verdict.parse(text) != parsed
    return made, altered


def back(row: dict, known: dict, label_first: bool) -> Answer:
    """A stored answer from its row; ``known``: posts by digest."""
    text = redaction.fill(row.get("written", []), known[row["id"]].text if "id" in row else "")
    if "explanations" in row:
        told = redaction.filled(row, known[row["id"]])["explanations"]
        given = row["label"] is not None or told
        cut = -1 if row["repaired"] else None  # to be mended when it is read, as it was
        text = verdict.write(row["label"], told, label_first)[:cut] if given else row["reason"]
        if given and row["reason"]:  # some were given, and none of them could be read
            text = text.replace("[]", "[0]")
    paid = {name: row[name] for name in _PAID}
    return Answer(row["key"], text, **paid, probabilities=row.get("probabilities", []))
