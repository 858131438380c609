"""A verdict as a card: the post with its quotes numbered, label, probability, explanations.

Plain HTML with its styles inside, no script: it reads in light and dark themes of JupyterLab
and in nbconvert's HTML, since text keeps the page's colour and marks are half transparent.
Post and explanations are escaped, and masked unless ``reveal``.

    verdict_card.show(held_out, rows, n=3)
"""

from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd

from hsd_utils import posts, spans, tables
from hsd_utils.look import LABELS

# Classes that keep MathJax from typesetting what a post writes between two dollar signs.
_CARD = (
    '<div class="tex2jax_ignore mathjax_ignore" style="border: 1px solid rgba(128,128,128,.5);'
    " border-left-width: 5px; border-radius: 4px; padding: .6em .9em; margin: .6em 0;"
    ' max-width: 46em; overflow-wrap: anywhere; line-height: 1.5">'
)
_MARK = '<mark style="background: rgba(230,160,0,.35); color: inherit; border-radius: 2px">'
_POST = '<p dir="auto" style="white-space: pre-wrap; margin: .5em 0; unicode-bidi: isolate">'
_LABEL = '<strong style="border: 1px solid; border-radius: 3px; padding: 0 .4em">'


def html(
    text: str,
    row: Mapping[str, Any],
    gold: int | None = None,
    probability: float | None = None,
    reveal: bool = False,
) -> str:
    """The card of one post.

    row: predicted (0, 1 or None), p_hate, explanations with the places of their quotes
    (``verdict.quotes``), and reason or note, why something is missing.  gold: the annotators'
    label, if known.  probability: the calibrated one (see ``calibration``).
    """
    shown = (lambda part: part) if reveal else posts.mask
    head = [f"{_LABEL}{_word(row.get('predicted'))}</strong>"]
    if probability is not None:
        head.append(f"calibrated probability of hate {probability:.0%}")
    if pd.notna(row.get("p_hate")):
        head.append(f"P(hate) {row['p_hate']:.2f}")
    if gold is not None:
        head.append(f"annotators: {_word(gold)}")
    items = [_item(e, shown) for e in row.get("explanations") or []]
    listed = f'<ol style="margin: .3em 0">{"".join(items)}</ol>' if items else ""
    missing = [str(row[key]) for key in ("reason", "note") if row.get(key) and pd.notna(row[key])]
    note = f"<p><em>{escape('; '.join(missing))}</em></p>" if missing else ""
    body = spans.numbered(shown(text), row.get("explanations") or [], _MARK)
    return f"{_CARD}<div>{' · '.join(head)}</div>{_POST}{body}</p>{listed}{note}</div>"


def show(sample: pd.DataFrame, rows: pd.DataFrame, n: int, reveal: bool = False, calibrate=None):
    """The first ``n`` posts of ``rows`` as cards for a notebook (``.data`` is the HTML).

    sample: posts with those of ``rows`` by id.  calibrate: P(hate) (n,) -> probabilities.
    """
    from IPython.display import HTML

    by_id, cards = sample.set_index("id"), []
    for row in rows.head(n).to_dict("records"):
        post = by_id.loc[row["id"]]
        known = calibrate is not None and pd.notna(row["p_hate"])
        probability = float(calibrate([row["p_hate"]])[0]) if known else None
        cards.append(html(post["text"], row, int(post["label"]), probability, reveal))
    return HTML("".join(cards))


def _word(label: int | None) -> str:
    return LABELS[int(label)][0] if pd.notna(label) else tables.ABSENT


def _item(explanation: Mapping, shown) -> str:
    quote, reason = (escape(shown(explanation[key])) for key in ("input", "explanation"))
    found = "" if explanation.get("how") is not None else " <em>(not in the post)</em>"
    whole = " <em>(the whole post)</em>" if explanation.get("whole") else ""
    return f'<li dir="auto">“{quote}”{found}{whole}: {reason}</li>'
