"""A model's answer: its schema, how it is written and read, and where its quotes stand.

An answer is one JSON object, ``{"hate_speech": "True" | "False", "explanations": [{"input":
phrase quoted from the post, "explanation": why}, ...]}``, the form of Piot and Parapar (ECIR
2025), or the same with the keys swapped (explanation first).  A label that was not clearly given
is never guessed: the failure has a reason, to be counted and shown.

    python -c "from hsd_utils import verdict; print(verdict.parse(verdict.write(0, [])))"
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Annotated, Literal
from unicodedata import category, combining, normalize

import json_repair
import regex
from pydantic import AfterValidator, BaseModel, ConfigDict
from rapidfuzz import fuzz

LABELS = ("False", "True")  # the words of an answer, indexed by label
REASONS = ("empty", "not json", "no label", "bad label", "bad explanations", "contradiction")
MAX_ITEMS, MAX_LENGTH = 3, 200  # explanations, and characters of their parts, under a schema
FUZZY_SCORE = 90.0  # rapidfuzz's partial ratio, 0 to 100
FUZZY_LENGTH = 10  # characters; shorter quotes resemble something nearly everywhere


def _encodable(text: str) -> str:
    """Joins the halves of an emoji; a lone half, which no file could take, is replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Explanation(BaseModel):
    """A phrase of the post and why it decides."""

    model_config = ConfigDict(extra="forbid", strict=True)
    input: Annotated[str, AfterValidator(_encodable)]
    explanation: Annotated[str, AfterValidator(_encodable)]


class Verdict(BaseModel):
    """The whole answer; without explanations it is that of a student taught labels only."""

    model_config = ConfigDict(extra="forbid", strict=True)
    hate_speech: Literal["False", "True"]
    explanations: list[Explanation] = []


@dataclass
class Parsed:
    """What was read from an answer.

    ``label``: 0, 1, or None if the answer failed.  ``repaired``: json_repair had to read it.
    ``reason``: of failure, one of ``REASONS``; only "bad explanations" (some were given, none
    could be used) comes with a label.
    """

    label: int | None
    explanations: list[dict] = field(default_factory=list)
    repaired: bool = False
    reason: str | None = None


@dataclass(frozen=True)
class Quote:
    """A quote's place: ``text[start:end]`` of the original post, all None if it is not there.

    ``how``: "exact"; "normalised" (but for case, white space, quotation marks and dashes,
    invisible characters, those of ``prompts.shield``); "fuzzy" (a few letters differ).
    ``whole``: the quote is the whole post, which singles nothing out.
    """

    start: int | None = None
    end: int | None = None
    how: str | None = None
    whole: bool = False


def json_schema(label_first: bool = True, label: int | None = None, quote: str = "") -> dict:
    """The schema for constrained decoding, its keys in the order in which a model writes them.

    With ``label`` no other is allowed: an explanation of a given verdict; with ``quote`` it alone
    is explained.  Lengths are in characters, bounded so that an answer ends.  White space between
    the parts is not, and a model may run on in it.
    """
    text = {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH}
    item = {"input": {"type": "string", "enum": [quote]} if quote else text, "explanation": text}
    words = {"type": "string", "enum": list(LABELS) if label is None else [word(label)]}
    most = 1 if quote else MAX_ITEMS
    listed = {"type": "array", "items": closed(item), "minItems": 1, "maxItems": most}
    keys = {"hate_speech": words, "explanations": listed}
    return closed(keys if label_first else dict(reversed(keys.items())))


def closed(keys: dict) -> dict:  # JSON schema: an object of all these keys and no others
    rules = {"required": list(keys), "additionalProperties": False}
    return {"type": "object", "properties": keys} | rules


def word(label: int) -> str:
    """A label's word in an answer; ValueError if it is not 0 or 1 (-1 must not mean "True")."""
    if label not in (0, 1):
        raise ValueError(f"label {label!r}: 0 (not hate speech) or 1 (hate speech)")
    return LABELS[int(label)]


def write(label: int | None, explanations: list[dict] | None, label_first: bool = True) -> str:
    """The exact text of an answer, as in demonstrations and training targets.

    None leaves a key out: the answers to the tasks ``label`` and ``rationale`` of the
    task-prefix objective.  Of ``explanations`` only ``input`` and ``explanation`` are written.
    """
    answer = {}
    if label is not None:
        answer["hate_speech"] = word(label)
    if explanations is not None:
        answer["explanations"] = [{k: e[k] for k in Explanation.model_fields} for e in explanations]
    items = answer.items() if label_first else reversed(answer.items())
    # Without the spaces of json.dumps: a tenth fewer tokens an answer than with them.
    return json.dumps(dict(items), ensure_ascii=False, separators=(",", ":"))


def parse(text: str | None) -> Parsed:
    """Reads an answer: strictly first, then with json_repair, which ``repaired`` tells.

    Repaired are prose or a fence around the object, single quotes, missing brackets, more keys,
    ``true`` for "True", explanations cut off (the complete ones are kept); never the label.  If
    that is missing, cut off, another word or two different ones, it is None, but explanations
    are kept: a ``rationale`` answer has only those, and the reason "no label".
    """
    if not text or not text.strip():
        return Parsed(None, reason="empty")
    try:
        found = Verdict.model_validate(json.loads(text, object_pairs_hook=_once))
    except (ValueError, RecursionError):
        return _repair(text)
    return Parsed(LABELS.index(found.hate_speech), found.model_dump()["explanations"])


def _once(pairs: list[tuple]) -> dict:
    """json.loads keeps the last of two equal keys; here they are an error."""
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key is given twice")
    return dict(pairs)


# A key and its value wherever they stand, but not inside a (properly escaped) quote.  The last
# alternative takes what is neither a closed string nor a closed word: a value that is cut off.
_LABEL = regex.compile(
    r"""(?<!\\)(["']?)\bhate_speech\1\s*:\s*("[^"]*"|'[^']*'|\w+(?=\s*[,}])|.{0,20})"""
)
_CUT = "\ue000"  # private use: put after the answer, it lands in the string that was cut off


def _repair(text: str) -> Parsed:
    found = None
    with suppress(ValueError, RecursionError):
        found = json_repair.loads(text + _CUT)
    objects = [o for o in (found if isinstance(found, list) else [found]) if isinstance(o, dict)]
    if not objects:
        return Parsed(None, reason="not json", repaired=True)
    answer = next((o for o in objects if "hate_speech" in o), objects[0])
    given, kept = answer.get("explanations", []), []
    for item in given if isinstance(given, list) else []:
        with suppress(ValueError, AttributeError):  # no object, or none of text
            pair = Explanation.model_validate({k: item.get(k) for k in Explanation.model_fields})
            kept += [pair.model_dump()] if _CUT not in pair.input + pair.explanation else []

    values = {value.strip("\"'").lower() for _, value in _LABEL.findall(text)}
    value, words = str(answer.get("hate_speech")).lower(), [w.lower() for w in LABELS]
    if len(values) > 1 or "hate_speech" not in answer:
        return Parsed(None, kept, True, "contradiction" if len(values) > 1 else "no label")
    if value not in words or value not in values:
        return Parsed(None, kept, True, "bad label")
    reason = "bad explanations" if given and not kept else None
    return Parsed(words.index(value), kept, True, reason)


def quotes(parsed: Parsed, text: str) -> list[dict]:
    """The explanations with their place: dicts of input, explanation and ``Quote``'s fields."""
    return [e | asdict(locate(e["input"], text)) for e in parsed.explanations]


def locate(quote: str, text: str) -> Quote:
    """Where ``quote`` stands in ``text``, the original post; offsets are in characters.

    Of several places it is the first that stands as whole words.  "not" is few letters to the
    fuzzy search: count "fuzzy" apart where the wording matters.
    """
    first, how = _find(quote, text) if quote.strip() else -1, "exact"
    last = first + len(quote)
    if first < 0:
        folded, at = _fold(text)
        start, end, how = _alike(_fold(quote)[0].strip(), folded)
        if how is None:
            return Quote()
        first, last = at[start], at[end - 1] + 1
        while last < len(text) and (combining(text[last]) or not fold_char(text[last])):
            last += 1  # accents and invisible characters belong to the letter before them
    return Quote(first, last, how, whole=text[first:last].strip() == text.strip())


def _find(needle: str, hay: str) -> int:
    first = hay.find(needle)
    # Not in one pattern: in one letter, repeated, that reads the whole needle at every place.
    for begin in regex.finditer(r"(?<!\w)", hay) if first >= 0 else ():  # \w has vowel signs too
        end = begin.start() + len(needle)
        if hay.startswith(needle, begin.start()) and not regex.match(r"\w", hay[end : end + 1]):
            return begin.start()
    return first


def _alike(needle: str, hay: str) -> tuple[int, int, str | None]:
    if needle and (start := _find(needle, hay)) >= 0:
        return start, start + len(needle), "normalised"
    fits = FUZZY_LENGTH <= len(needle) <= len(hay)
    found = fits and fuzz.partial_ratio_alignment(needle, hay, score_cutoff=FUZZY_SCORE)
    if not found:
        return -1, -1, None
    # the window found is as long as the quote: move its ends to those of words
    start = found.dest_start + (hay[found.dest_start] == " ")
    end = found.dest_end - (hay[found.dest_end - 1] == " ")
    start -= len(regex.search(r"(\b\w{1,4})?$", hay[:start])[0])
    return start, end + len(regex.match(r"(\w{1,4}\b)?", hay[end:])[0]), "fuzzy"


_ALIKE = str.maketrans("‘’‚‛´`“”„‟«»‐‑‒–—−‹›⟦", "''''''\"\"\"\"\"\"------<>[")


@lru_cache(maxsize=8192)
def fold_char(char: str) -> str:
    """One character as compared: without case or form; "" if it is invisible."""
    kind = category(char)
    if kind == "Cf" or "\ufe00" <= char <= "\ufe0f":
        return ""
    char = " " if char.isspace() or kind == "Cc" else "\ufffd" if kind == "Cs" else char
    return normalize("NFKD", char.translate(_ALIKE)).casefold()


def _fold(text: str) -> tuple[str, list[int]]:
    """The text as compared, runs of white space as one, and where each character was."""
    folded, at = [], []
    for index, char in enumerate(text):
        for part in fold_char(char):
            if part != " " or (folded and folded[-1] != " "):
                folded.append(part)
                at.append(index)
    return "".join(folded), at
