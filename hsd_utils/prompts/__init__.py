"""Conversations: what the teacher and the student are asked.

The words are data, in the text and JSON files beside this module: the instruction, definitions
of hate speech (their last line, the source, is shown to people and not to models), sixteen
demonstrations written for this project, and the student's one-line instructions.  The teacher
gets them as a few-shot Chain-of-Thought conversation (Piot and Parapar, ECIR 2025), whose
messages before the last are the same for all posts, so that an engine's prefix cache computes
them once.  A post is data: ``shield`` keeps it from closing its message or opening another.

    python -c "from hsd_utils import prompts; print(prompts.teacher('some post', shots=2))"
"""

import json
import random
import re
import unicodedata
from functools import lru_cache
from itertools import chain, zip_longest
from pathlib import Path
from string import Template
from typing import NamedTuple

from hsd_utils import verdict

MAX_CHARS = 4000
ORDERS = ("alternate", "hate_first", "hate_last", "shuffled")
TASKS = {
    "both": "student.txt",
    "label": "student_label.txt",
    "rationale": "student_rationale.txt",
}


class Definition(NamedTuple):
    text: str  # what a model is told
    source: str  # what a reader is told


@lru_cache
def _read(*name: str) -> str:
    return Path(__file__).parent.joinpath(*name).read_text(encoding="utf-8").strip()


def definitions() -> dict[str, Definition]:
    """The definitions of hate speech, by the names of their files."""
    found = {}
    for file in sorted(Path(__file__).parent.glob("definitions/*.txt")):
        text, _, source = _read("definitions", file.name).partition("\nSource:")
        found[file.stem] = Definition(text.strip(), source.strip())
    return found


def _definition(name: str) -> Definition:
    if name not in (known := definitions()):
        raise ValueError(f"definition {name!r}: one of {', '.join(known)}")
    return known[name]


def demonstrations() -> list[dict]:
    """Demonstrations: dicts of id, text, label and explanations, hateful and not in turn."""
    return json.loads(_read("demonstrations.json"))


def teacher(
    post_text: str,
    *,
    shots: int = 6,
    balance: float = 0.5,
    order: str = "alternate",
    definition: str = "un",
    label_first: bool = True,
    seed: int = 0,
    gold: int | None = None,
) -> list[dict]:
    """The teacher's conversation about a post: role and content of each message.

    ``shots`` demonstrations, the share ``balance`` of them hateful (a half rounds up), in an
    order out of ``ORDERS`` (``seed`` serves "shuffled" only).  With ``gold`` the teacher is
    given the annotators' label and asked to explain that one (rationalisation).  Raises
    ValueError for an unknown name or for more demonstrations than there are.
    """
    ask = f"<post>{shield(post_text)}</post>"
    if gold is not None:
        ask += "\n" + Template(_read("rationalise.txt")).substitute(label=verdict.word(gold))
    prefix = _prefix(shots, balance, order, definition, label_first, seed)
    return [{"role": role, "content": content} for role, content in (*prefix, ("user", ask))]


@lru_cache
def _prefix(shots, balance, order, definition, label_first, seed) -> tuple[tuple[str, str], ...]:
    form = verdict.write(1, [{"input": "...", "explanation": "..."}], label_first)
    system = Template(_read("instruction.txt")).substitute(
        definition=_definition(definition).text, form=form.replace('"True"', '"True" or "False"')
    )
    messages = [("system", system)]
    for shot in _choose(shots, balance, order, seed):
        messages.append(("user", f"<post>{shield(shot['text'])}</post>"))
        answer = verdict.write(shot["label"], shot["explanations"], label_first)
        messages.append(("assistant", answer))
    return tuple(messages)


def _choose(shots: int, balance: float, order: str, seed: int) -> list[dict]:
    if order not in ORDERS:
        raise ValueError(f"order {order!r}: one of {', '.join(ORDERS)}")
    if shots < 0 or not 0 <= balance <= 1:
        raise ValueError(f"shots {shots}, balance {balance}: at least 0, and between 0 and 1")
    chosen, hateful = {}, int(shots * balance + 0.5)
    for label, wanted in ((1, hateful), (0, shots - hateful)):
        pool = [shot for shot in demonstrations() if shot["label"] == label]
        if wanted > len(pool):
            raise ValueError(
                f"{wanted} demonstrations of label {label} asked for, {len(pool)} exist: "
                "lower shots, move balance towards 0.5, or add to demonstrations.json"
            )
        chosen[label] = pool[:wanted]
    if order == "hate_first":
        return chosen[1] + chosen[0]
    if order == "hate_last":
        return chosen[0] + chosen[1]
    turns = [s for s in chain(*zip_longest(chosen[1], chosen[0])) if s is not None]
    if order == "shuffled":
        random.Random(seed).shuffle(turns)
    return turns


def student(post_text: str, task: str = "both", definition: str = "") -> list[dict]:
    """The student's conversation, also the untrained base's: one short instruction, the post.

    ``task``: "label" and "rationale" are the two halves of the task-prefix objective (Hsieh et
    al. 2023).  ``definition``: one of ``definitions`` before the instruction, by default none.
    Raises ValueError for another.
    """
    if task not in TASKS:
        raise ValueError(f"task {task!r}: one of {', '.join(TASKS)}")
    begun = f"Hate speech is {_definition(definition).text}\n" if definition else ""
    content = f"{begun}{_read(TASKS[task])}\n\n{shield(post_text)}"
    return [{"role": "user", "content": content}]


def prefill(
    label: int | None = None,
    label_first: bool = True,
    explanations: list[dict] | None = None,
    quote: str = "",
) -> str:
    """The beginning of an answer: up to the label's word, or with the label up to a quote, or
    with a label and a quote up to what is said of it.

    Cut where the tokens of a whole answer part too (`` [{"`` is one token), so that a forced
    beginning looks to a model like its own.  Explanation-first, the label comes last: give the
    ``explanations`` that precede it; there is no beginning with a label (ValueError).
    """
    if not label_first and (label is not None or explanations is None):
        raise ValueError("explanation-first: give the explanations, which precede the label")
    if label is not None:
        whole = verdict.write(label, [{"input": quote, "explanation": ""}])
        # Past the quotation mark that opens the first phrase, or its explanation
        return whole[: (whole.rindex if quote else whole.index)('""') + 1]
    whole = verdict.write(1, explanations or [], label_first)
    return whole[: whole.index('True"') if label_first else whole.rindex('True"')]


# What opens a token of a chat template: <|im_end|>, </s>, <start_of_turn>, <<SYS>>, <0x0A>,
# our own </post>; [INST], [/INST], [TOOL_CALLS], [gMASK].  Full-width forms are taken too, which
# some tokenizers fold.  The stand-ins fold to nothing else.
_OPENERS = re.compile(r"[<＜﹤](?=[|｜/!A-Za-z]|_\w|0x)|[\[［](?=/?g?[A-Z_]{3,}[\]］])")
_STRAYS = {c: " " for c in (*range(32), *range(127, 160)) if chr(c) not in "\t\n\r"}
_STRAYS |= {c: "\ufffd" for c in range(0xD800, 0xE000)}


def shield(text: str, max_chars: int = MAX_CHARS) -> str:
    """The post as a model sees it: unable to leave its message, at most ``max_chars`` long.

    Each character is replaced by one character, so offsets are those of the original and
    ``verdict.locate`` finds quotes in it: what opens a template's token becomes ``‹`` or ``⟦``,
    control characters a space, lone surrogates U+FFFD.  Emoticons such as ``<3``, emoji and
    right-to-left text stay, and so do line breaks and plain words such as "User:", which mean
    nothing to templates with tokens of their own.
    """
    text = _OPENERS.sub(lambda m: "⟦" if m[0] in "[［" else "‹", text[: max_chars + 32])
    text = text.translate(_STRAYS)
    if not is_cut(text, max_chars):
        return text
    end = max_chars
    while end > max(max_chars - 32, 0) and _joined(text[end - 1], text[end]):
        end -= 1
    return text[:end]


def _joined(left: str, right: str) -> bool:
    """Whether two characters make one sign: accents, and emoji of several parts."""
    modifier = right == "\ufe0f" or "\U0001f3fb" <= right <= "\U0001f3ff"
    return modifier or "\u200d" in (left, right) or unicodedata.combining(right) > 0


def is_cut(text: str, max_chars: int = MAX_CHARS) -> bool:
    """Whether ``shield`` drops the end of this post; the caller counts and reports it."""
    return len(text) > max_chars
