"""Explanations as text: quotes, groups named, what the words conclude, generic, copied, diverse.

Plain rules, each said where it stands, so that a reader can check a case by hand; they read
English.  A row of explanations is one of ``predictions``: predicted (0/1) and explanations with
the places of their quotes.

    python -c "from hsd_utils.explanations import stance; print(stance('It demeans women.'))"
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from rapidfuzz import fuzz, process

from hsd_utils import bootstrap, prompts, spans

# The target groups and their neutral names.  Sources: the identity factors of the UN strategy on
# hate speech (2019), the groups of HateCheck (2021) and of the embedded corpus.  Names that are
# insults are left out on purpose: an explanation has no need of them, and neither has this file.
GROUPS = {
    "women": "women, woman, female, females, girl, girls",
    "men": "men, man, male, males",
    "Muslims": "muslim, muslims, islam, islamic",
    "Jewish people": "jew, jews, jewish, judaism",
    "Christians": "christian, christians, catholic, catholics",
    "other faiths": "hindu, hindus, sikh, sikhs, buddhist, buddhists, atheist, atheists",
    "immigrants": "immigrant, immigrants, migrant, migrants, refugee, refugees, asylum seeker, "
    "asylum seekers, foreigner, foreigners",
    "Black people": "black people, black person, black families, black family, black man, "
    "black men, black woman, black women, blacks, african, africans, african american, "
    "african americans, black folk, black folks",
    "white people": "white people, white person, white man, white men, white woman, white women, "
    "white folk, white folks, whites",
    "Asian people": "asian, asians, chinese, japanese, korean, koreans, indian, indians",
    "Latin Americans": "latino, latinos, latina, latinas, hispanic, hispanics, mexican, mexicans",
    "Arabs": "arab, arabs, arabic",
    "Roma": "roma, romani, travellers",
    "indigenous people": "indigenous people, native american, native americans, aboriginal",
    "gay people": "gay, gays, gay people, lesbian, lesbians, homosexual, homosexuals, bisexual, "
    "bisexuals, queer people, lgbt, lgbtq",
    "trans people": "trans, transgender, trans people, trans woman, trans women, trans man, "
    "trans men, non-binary people",
    "disabled people": "disabled, disabled people, disability, disabilities, autistic, "
    "wheelchair user, wheelchair users, deaf people, blind people, mental illness",
    "older people": "older people, elderly, old people, pensioners",
    "young people": "young people, children, teenagers",
    "poor people": "poor people, homeless people, homeless",
}
NAMES = {name: group for group, names in GROUPS.items() for name in names.split(", ")}
# "Black man" is no mention of men: of two names at one place the longer one counts.  Letters
# are those of ASCII: re.I alone takes İ for i, and ``lower`` makes something else of it.
_GROUP = re.compile(rf"\b(?ai:{'|'.join(sorted(NAMES, key=len, reverse=True))})\b")

# What an explanation concludes.  Denial outweighs words of attack: it has to name what it denies.
# Who condemns all Muslims, opposes their rights, defends violence or says that nobody is spared
# denies no hate: no bare group, _WORTH, _HARM or _ALL may follow.
_WORTH = r"(?! (?:(?!and |attack|discrim|hat|racis|viol)\w+ ){0,5}(?:rights|equal|human|dignity))"
_HARM = r"(?:attack|death|genocid|harm|kill|murder|violen)"
_ALL = r"(?! s(?:afe|pared)\b)"
_NO_HATE = re.compile(
    r"\b(?:no|not an?|without an?y?) (?:\w+ ){0,2}(?:hate|attack|insult|threat|harm)"
    r"|\bnot (?!only|just)(?:\w+ ){0,3}(?:hate|hateful|attack\w*|target\w*|demean\w*|insult\w*"
    r"|groups?|protected|the writer's)\b|(?<!(?<!which )are )\bnot (?:\w+ ){0,3}people\b"
    r"|\bnot? (?!only|just)(?:\w+ ){0,3}(?:offens|derogat|discrimin|violen|contempt|degrad|dehuman)"
    rf"|\bno (?:\w+ )?(?:groups?|one|people|person) (?:of people )?(?:\w+ )?(?:is|are)\b{_ALL}"
    rf"|\bno protected group|\bnobody (?:is|was)\b{_ALL}|\bno[nt]-?hateful|\bstands up"
    rf"|\bdefen[ds]\w*\b(?! (?:the )?(?:(?!against|from)\w+ )?(?:use of )?{_HARM})"
    rf"|\bprais\w+\b(?! (?:\w+ ){{0,4}}{_HARM})|(?<!not )(?<!neither )\bneutral\b"
    rf"|\b(?:condemn\w*|(?:oppos(?:es|ing)|reject\w*)\b{_WORTH})\b"
    rf"(?! (?:all |the )?{_GROUP.pattern}(?: (?:and|as|for)\b|\.|$))|\bcounter-speech"
    r"|\bspeaks (?:well|proudly)|\bdemands? (?:\w+ ){2,4}same rights|\bhonest question|\bin jest\b"
    r"|\b(?:attacks?|against|demeans?) (?:no|nobody)\b|(?<!nor )\bpositive\b(?! stereotyp)"
    r"|\bnothing (?:\w+ ){0,2}(?:bad|against|hateful)|\bnot for (?:an |belonging)|\btakes the side"
    r"|\bwithout (?:\w+ ){0,2}(?:sharing|attack\w*)|\bfriendly\b(?! frame)|\bno judgement"
    r"|\bwas wrong\b|\bgiven up\b|\bharmless\b",
    re.I,
)
_HATE = re.compile(
    r"\bhate(?:ful|red|s)?\b|\bdehuman\w+|\bdemean\w*|\bdegrad\w+|\binferior\w*|\bbelow other"
    r"|\bexclu\w+|\bstereotyp\w+|\bscapegoat\w*|\bcontempt\w*|\bdisgust\w*|\battack\w*|\binsult\w*"
    r"|\bthreat\w*|\bviolen\w+|\bincit\w+|\bdiscriminat\w+|\bderogat\w+|\boffensive\w*|\bconspir\w+"
    r"|\bplot\b|\bblam\w+|\baccus\w+|\bmock\w*|\bharm\w*|\bhostil\w+|\bprejudic|\bracis|\bgenocid"
    r"|\bsexis\w+|\bburden|\bdanger\w*|\bden(?:y|ies)\b|\bdriven out|\bshut\w* \w*|\bbad character"
    r"|\bkept (?:out|apart)|\bless than human|\bare not (?:\w+ )?(?:people|human|equal)|\billness\b"
    r"|\bmyth\b|\blooks down|\bguilt|\bwish\w* death|\bcriminals?\b|\bunfit\b|\brefus\w+|\bunfair\b"
    r"|\b(?:turns?|takes?) (?:\w+ ){1,5}away|\bimplies something bad|\buncivili|\bfewer rights",
    re.I,
)
_SAID = re.compile(r"(?<!\w)(['\"]).+?\1(?!\w)|“[^”]*”|‘[^’]*’")  # a quotation is not the writer's
_WORD = re.compile(r"\w[\w'’-]*")
_LONG = re.compile(r"\w[\w'’-]{3,}")  # a word that says something about a post
OUTCOMES = {(1, 1): "hit", (0, 0): "right, no hate", (0, 1): "false alarm", (1, 0): "missed"}
COPIED = 90.0  # rapidfuzz's ratio, 0 to 100, from which two texts count as the same


def named(text: str) -> set[str]:
    """The groups of ``GROUPS`` that a text names, whole names only."""
    return {NAMES[name.lower()] for name in _GROUP.findall(text)}


def mentions(text: str, groups: Iterable[str]) -> list[tuple[int, int]]:
    """Where a text names one of ``groups``: [start, end) in characters."""
    wanted = set(groups)
    return [m.span() for m in _GROUP.finditer(text) if NAMES[m[0].lower()] in wanted]


def stance(text: str) -> int | None:
    """What an explanation's words conclude: 1 hateful, 0 not, None where they do not say.

    A rule, not a reading, made on the corpus's and the demonstrations' explanations: outside
    quotation marks, any word of ``_NO_HATE`` makes it 0, else any of ``_HATE`` makes it 1.
    """
    text = _SAID.sub(" ", text)
    if _NO_HATE.search(text):
        return 0
    return 1 if _HATE.search(text) else None


def sentence(explanations: Iterable[Mapping[str, Any]]) -> str:
    """The reasons of one post in one line, without its quotes; "" where there is none."""
    return " ".join(e["explanation"] for e in explanations if e["explanation"])


def features(sample: pd.DataFrame, rows: pd.DataFrame, taught: Iterable[str] = ()) -> pd.DataFrame:
    """One row a post: what can be told from its explanation's words, NaN where there is none.

    quotes, found (standing in the post), hallucinated, whole (the whole post), fuzzy (a few
    letters differ): counts; missed: share of the human spans of a hateful post that no quote
    touches; explained (0/1); length in words; names_group; contradicts: its words conclude the
    other label (NaN where they conclude nothing); generic: written for another post too, or it
    names no group and shares no word of four letters with the post; copied: a demonstration's
    explanation, one of ``taught`` or the post itself over again (COPIED).
    """
    reasons = [sentence(row) for row in rows["explanations"]]
    often = Counter(reason.casefold() for reason in reasons)
    shown = [e["explanation"] for d in prompts.demonstrations() for e in d["explanations"]]
    made = []
    for post, row, reason in zip(sample.itertuples(), rows.itertuples(), reasons, strict=True):
        quoted = [e for e in row.explanations if e["input"]]  # a reason may come without a quote
        located = [e for e in quoted if e["how"] is not None]
        found = {"id": post.id, "quotes": len(quoted), "found": len(located)}
        found |= {"hallucinated": len(quoted) - len(located)}
        found |= {"whole": sum(bool(e["whole"]) for e in located)}
        found |= {"fuzzy": sum(e["how"] == "fuzzy" for e in located)}
        found |= {"missed": _missed(post, located), "explained": float(bool(reason))}
        if reason:
            ends, words = stance(reason), set(_LONG.findall(reason.lower()))
            alone = not words & set(_LONG.findall(post.text.lower())) and not named(reason)
            found |= {"length": len(reason.split()), "names_group": float(bool(named(reason)))}
            found |= {"contradicts": np.nan if ends is None else float(ends != row.predicted)}
            found |= {"generic": float(often[reason.casefold()] > 1 or alone)}
            each = [e["explanation"] for e in row.explanations]
            known = [*shown, *taught, post.text]
            alike = process.cdist(each, known, processor=str.lower, score_cutoff=COPIED)
            found |= {"copied": float(alike.any())}
        made.append(found)
    optional = ["length", "names_group", "contradicts", "generic", "copied"]
    columns = ["id", "quotes", "found", "hallucinated", "whole", "fuzzy", "missed", "explained"]
    return pd.DataFrame(made).reindex(columns=columns + optional)


def diversity(reasons: list[str]) -> dict[str, float | None]:
    """How varied the explanations of one model are, over all posts with one.

    distinct_1 and distinct_2: share of different words and word pairs (Li et al. 2016); they
    fall with the amount of text, so compare only the same posts.  self_similarity: mean
    rapidfuzz ratio (0 to 1) of all pairs of posts; 1 if all are the same.
    """
    reasons = [reason for reason in reasons if reason]
    if len(reasons) < 2:
        return dict.fromkeys(("distinct_1", "distinct_2", "self_similarity"))
    tokens = [[w.lower() for w in _WORD.findall(reason)] for reason in reasons]
    ones = list(chain(*tokens))
    twos = list(chain(*(zip(t, t[1:], strict=False) for t in tokens)))
    alike = process.cdist(reasons, reasons, scorer=fuzz.ratio) / 100
    return {
        "distinct_1": len(set(ones)) / len(ones) if ones else None,
        "distinct_2": len(set(twos)) / len(twos) if twos else None,
        "self_similarity": float(alike[~np.eye(len(reasons), dtype=bool)].mean()),
    }


def split(
    sample: pd.DataFrame,
    scored: Mapping[str, pd.DataFrame],
    least: int,
    joint: Mapping[str, tuple[Callable, list[str]]],
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Measures apart: explainer, by, value, posts, measured and a {value, low, high} a measure.

    scored: explainer -> one row a post with id, predicted, measured (True where its faithfulness
    was; how many is told) and measures.  By source, by target (a post of several, "a, b", counts
    in each) in groups of ``least`` posts and more, and by whether label and prediction are right.
    A measure is the mean of its column; one of ``joint`` a statistic of columns of other names
    (see ``bootstrap.over``).  Null with a reason where fewer than ``least`` posts have a value.
    """
    parts = {"id", "predicted", "measured"}.union(*(columns for _, columns in joint.values()))
    rows, few = [], bootstrap.absent(f"fewer than {least} posts to measure")
    for explainer, frame in scored.items():
        known = frame.merge(sample[["id", "source", "target", "label"]], on="id")
        pairs = zip(known["label"], known["predicted"], strict=True)
        known["outcome"] = [OUTCOMES[int(gold), int(said)] for gold, said in pairs]
        known["target"] = known["target"].str.split(", ")
        single = {name: (np.mean, [name]) for name in frame if name not in parts}
        for by in ("source", "target", "outcome"):
            for value, part in known.explode(by).groupby(by):
                if len(part) < least and by != "outcome":
                    continue
                row = {"explainer": explainer, "by": by, "value": value, "posts": len(part)}
                row["measured"] = int(part["measured"].sum())
                for name, (of, columns) in {**single, **joint}.items():
                    had = part[columns].dropna().T.to_numpy()
                    enough = had.shape[1] >= least
                    row[name] = bootstrap.over(of, had, resamples, seed) if enough else few
                rows.append(row)
    return pd.DataFrame(rows)


def annotators(sample: pd.DataFrame) -> pd.DataFrame:
    """The human explanations of a sample as rows like a model's: the reference.

    Posts with an explanation or marked words only; of the two the one that is missing is "".
    """
    told = sample["explanation"].notna() | (sample["rationale"].str.len() > 0)
    rows = []
    for post in sample[told].itertuples():
        reason = post.explanation if isinstance(post.explanation, str) else ""
        given = [
            {"input": post.text[a:b], "explanation": reason if not n else ""}
            | {"start": a, "end": b, "how": "exact", "whole": b - a == len(post.text)}
            for n, (a, b) in enumerate(post.rationale)
        ]
        if reason and not given:
            nowhere = {"start": None, "end": None, "how": None, "whole": False}
            given = [{"input": "", "explanation": reason} | nowhere]
        rows.append({"id": post.id, "predicted": int(post.label), "explanations": given})
    return pd.DataFrame(rows, columns=["id", "predicted", "explanations"])


def _missed(post, located: list[dict]) -> float:
    human, quotes = list(post.rationale) if post.label == 1 else [], spans.quoted(located)
    missed = [not any(a < end and start < b for start, end in quotes) for a, b in human]
    return float(np.mean(missed)) if missed else np.nan
