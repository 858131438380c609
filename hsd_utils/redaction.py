"""A text about a post without the post's own words: redacted, checked, and filled in again.

A run of ``RUN`` words of the post becomes its place there: ``["Calls ", [12, 20], " a burden."]``
instead of a sentence, and so does every single word of a quote that was copied with slips.
Who has the post can fill it in; who has not learns what is said of it.  A run of words of another
post is ``VEIL``, for good.
Further numbers of a place count letters, from 0, whose case is another: ``[12, 20, 0]``.

    python -c "from hsd_utils import redaction; print(redaction.strip('It says kind', 'Kind.'))"
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Set
from itertools import chain, takewhile
from typing import Any

import regex

from hsd_utils import verdict

RUN = 5  # words in a row that no released text may share with its post; fewer in a shorter post
SHORT = 3  # words of the shortest post that is looked for in what is not about it
# Where words are written without spaces, each character counts as one.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}"
VEIL = "█"  # counts as a word, so that those on either side of it do not become neighbours
_WORD = regex.compile(rf"(?V1){VEIL}|[{_UNSPACED}]|[\w--[{_UNSPACED}]]+")
_VEILS = regex.compile(rf"{VEIL}(?:\W+{VEIL})+")
Parts = list[str | list[int]]


def digest(post) -> str:
    """What stands for a post in a release: a hash of its id, text and label."""
    content = json.dumps([post.id, post.text, int(post.label)])
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def strip(
    told: str,
    text: str,
    quotes: Iterable[tuple[int, int]] = (),
    copies: Iterable[str] = (),
    known: Set[tuple[str, ...]] = frozenset(),
) -> Parts:
    """``told`` without the words of a post: strings, and in their place [start, end) in ``text``.

    Taken out are runs of ``RUN`` words of the post (all of a shorter post) and its ``quotes``,
    whatever their case and punctuation; what has no words, as emoji, where it stands as it is.
    Of ``copies``, phrases copied with slips, every word that the post has is taken out.  ``known``:
    ``runs`` of all posts, of which none stays: a student repeats what it learned of another.
    """
    said, there = _words(told), _words(text)
    copied = {at for copy in copies for at in _standing(_words(copy), said)}
    places = sorted(quotes, key=lambda place: place[0] - place[1])  # longest first
    quoted = [
        [(word, start + a, start + b) for word, a, b in _words(text[start:end])]
        for start, end in places
    ]
    parts, done, at = [], 0, 0
    while at < len(said):
        run = _shared(said[at:], there)
        if not run or (at not in copied and len(run) < min(RUN, len(there))):
            run = next((q for q in quoted if q and _shared(said[at:], q) == q), [])
        if run:
            parts += [told[done : said[at][1]], *_places(told, said[at:], text, run)]
            done = said[at + len(run) - 1][2]
        at += max(1, len(run))
    parts, whole = [*parts, told[done:]], (0, len(text))
    for start, end in [whole, *places]:
        words = text[start:end]
        if words.strip() and not _words(words):
            parts = [piece for part in parts for piece in _cut(part, words, [start, end])]
    return [_veiled(part, known) if isinstance(part, str) else part for part in parts if part]


def _veiled(part: str, known: Set[tuple[str, ...]]) -> str:
    words, hidden = _words(part), set()
    for n in range(SHORT, RUN + 1):
        for at in range(len(words) - n + 1):
            if tuple(word for word, _, _ in words[at : at + n]) in known:
                hidden |= {*range(at, at + n)}
    for at in sorted(hidden, reverse=True):
        part = part[: words[at][1]] + VEIL + part[words[at][2] :]
    return _VEILS.sub(VEIL, part) if hidden else part


def _cut(part: str | list[int], words: str, place: list[int]) -> Parts:
    """A part with ``place`` wherever ``words`` stand in it."""
    if not isinstance(part, str):
        return [part]
    first, *rest = part.split(words)
    return [first, *chain.from_iterable((place, piece) for piece in rest)]


def fill(parts: Parts, text: str) -> str:
    """What ``strip`` was given, but for letters that differ by more than their case."""
    return "".join(p if isinstance(p, str) else _at(text, *p) for p in parts)


def _at(text: str, start: int, end: int, *swapped: int) -> str:
    letters, other = enumerate(text[start:end]), set(swapped)
    return "".join(c.swapcase() if n in other else c for n, c in letters)


def _places(told: str, said: list, text: str, run: list) -> Parts:
    """The words of ``run`` as one place, or one each where something else stands between them."""
    said, parts = said[: len(run)], []
    if place := _place(told[said[0][1] : said[-1][2]], text, run[0][1], run[-1][2]):
        return [place]
    done = said[0][1]
    for (_, first, last), (_, start, end) in zip(said, run, strict=True):
        # What is not a matter of case, as ſ and s, comes back as the post has it.
        place = _place(told[first:last], text, start, end) or [start, end]
        parts += [told[done:first], place]
        done = last
    return parts


def _place(words: str, text: str, start: int, end: int) -> list[int] | None:
    """Where the words are in the post, or None where more than their case differs."""
    pairs = enumerate(zip(words, text[start:end], strict=False))
    place = [start, end, *(n for n, (mine, its) in pairs if mine != its)]
    return place if fill([place], text) == words else None


def _words(text: str) -> list[tuple[str, int, int]]:
    """Words as ``verdict.locate`` compares them, whatever their letters' form, and their places."""
    found = (("".join(map(verdict.fold_char, m[0])), *m.span()) for m in _WORD.finditer(text))
    return [word for word in found if word[0]]


def _standing(copy: list, said: list) -> Iterator[int]:
    """The places in ``said`` of all words of a phrase, wherever it stands there as a whole."""
    words, among = ([word for word, _, _ in each] for each in (copy, said))
    for first in range(len(among) - len(words) + 1):
        if among[first : first + len(words)] == words:
            yield from range(first, first + len(words))


def _shared(said: list, there: list) -> list:
    """The longest run of words in ``there`` with which ``said`` begins."""
    best = []
    for first in range(len(there)):
        pairs = zip(said, there[first:], strict=False)
        length = sum(1 for _ in takewhile(lambda pair: pair[0][0] == pair[1][0], pairs))
        best = there[first : first + length] if length > len(best) else best
    return best


def stripped(row: dict, post, known: Set[tuple[str, ...]] = frozenset()) -> dict:
    """A row of rationales or predictions without the text of its post, or of those of ``known``."""
    made, told = row | {"id": digest(post)}, row.get("explanations") or []
    places = [(e["start"], e["end"]) for e in told if e["how"] is not None]
    # Not in the post, or with another letter here or there: mostly copied all the same.
    copies = [
        e["input"]
        for e in told
        if e["how"] is None or e["input"] != post.text[e["start"] : e["end"]]
    ]
    listed = []
    for e in told:
        new = {name: e[name] for name in ("start", "end", "how", "whole")}
        new["explanation"] = strip(e["explanation"], post.text, places, copies, known)
        if e["input"] in copies:
            new["input"] = strip(e["input"], post.text, places, copies, known)
        listed.append(new)
    return made | ({"explanations": listed} if "explanations" in row else {})


def filled(row: dict, post) -> dict:
    """What ``stripped`` was given."""
    told = []
    for e in row.get("explanations") or []:
        quote = fill(e["input"] if "input" in e else [[e["start"], e["end"]]], post.text)
        new = {"input": quote, "explanation": fill(e["explanation"], post.text)}
        told.append(new | {name: e[name] for name in ("start", "end", "how", "whole")})
    made = row | {"id": post.id}
    return made | ({"explanations": told} if "explanations" in row else {})


def runs(texts: Iterable[str]) -> set[tuple[str, ...]]:
    """All runs of ``RUN`` words of these posts; of shorter ones, from ``SHORT`` on, the whole."""
    return set().union(*(_grams(t, min(RUN, max(SHORT, len(_words(t))))) for t in texts))


def refuse_text(files: dict[str, list], about: dict, texts: dict[str, str]) -> None:
    """Raises ValueError where a string shares ``RUN`` words (all of a shorter post) with a post.

    All strings are compared with all posts of ``SHORT`` words and more: one or two words are
    shared by chance.  What was told about a post is compared with that post, however short; a
    quote (``input``) word by word, and so is what was written on after half of the post
    (``written``).
    """
    every = runs(texts.values())
    for name, rows in (files | {"release.json": [about]}).items():
        for number, row in enumerate(rows, 1):
            text = texts.get(row.get("id"), "")
            told = row.get("explanations", [])
            quoted = [row.get("written"), *(e.get("input") for e in told)]
            said = [e["explanation"] for e in told]
            least = max(1, min(RUN, len(_words(text))))
            copied = any(_grams(s, 1) & _grams(text, 1) for s in _strings(quoted))
            shared = any(_grams(s, least) & _grams(text, least) for s in _strings(said))
            known = (_grams(s, n) & every for s in _strings(row) for n in range(SHORT, RUN + 1))
            if copied or shared or any(known):
                raise ValueError(
                    f"{name}, row {number}: it would tell words of a post; nothing was written"
                )


def _grams(text: str, n: int) -> set[tuple[str, ...]]:
    words = [word for word, _, _ in _words(text)]
    return {tuple(words[at : at + n]) for at in range(len(words) - n + 1)}


def _strings(value: Any) -> Iterator[str]:
    """All strings in a value of JSON, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        parts = chain(value, value.values()) if isinstance(value, dict) else value
        for part in parts:
            yield from _strings(part)
