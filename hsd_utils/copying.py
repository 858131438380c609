"""Answers whose quotes can only be words of the post: a grammar for constrained decoding.

A small model that copies a phrase slips now and then (a word swapped, a letter lost), and then
quotes what nobody wrote.  Held to this grammar it may begin a quote at any word of the post, and
from there only go on with the next one or end the quote.  EBNF as XGrammar and llama.cpp read it.

    python -c "from hsd_utils import copying; print(copying.grammar('Such people.', 1))"
"""

import json
import re

from hsd_utils import verdict

_UNIT = re.compile(r"\w+|[^\w\s]")  # where a quote may begin and end: a word, a mark, an emoji
# No bound on the explanation's length: one takes seconds to compile, and max_tokens ends it too.
_ANSWER = r"""root ::= %s item ("," item){0,2} "]}"
item ::= "{\"input\":\"" quote "\",\"explanation\":\"" char+ "\"}"
char ::= [^"\\\x00-\x1f] | "\\" ["\\/bfnrt]
quote ::= %s"""


def grammar(text: str, label: int) -> str:
    """The answer that gives ``label`` and quotes ``text``, in the form of ``verdict.write``.

    One rule a word, so it grows with the post and not with its square.  Raises ValueError for a
    label that is none, and for a post without a character to quote.
    """
    places = [unit.span() for unit in _UNIT.finditer(text)]
    if not places:
        raise ValueError("nothing can be quoted from an empty post")
    rules = []
    for n, (start, end) in enumerate(places):
        rules.append(f"w{n} ::= {_literal(text[start:end])}")
        if n + 1 < len(places):
            gap = text[end : places[n + 1][0]]
            rules[-1] += f" ({_literal(gap) + ' ' if gap else ''}w{n + 1})?"
    begun = verdict.write(label, []).removesuffix("]}")
    anywhere = " | ".join(f"w{n}" for n in range(len(places)))
    return "\n".join([_ANSWER % (json.dumps(begun), anywhere), *rules])


def _literal(text: str) -> str:
    """Text as it stands inside a JSON string, as a literal of the grammar."""
    return json.dumps(json.dumps(text, ensure_ascii=False)[1:-1], ensure_ascii=False)
