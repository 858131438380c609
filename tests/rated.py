"""Posts, predictions and a sheet of them, for the tests of ``hsd_utils.ratings``."""

import numpy as np
import pandas as pd

from hsd_utils import posts, verdict
from hsd_utils.ratings import sheet

HOSTILE = [
    "=HYPERLINK(1)",
    "+1",
    "-1",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "  =1",
    "＝1",
    "'=1",
    "''",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "&lt;b&gt;</mark></div></script>",
    "$A ${B} $x^2$ {{x}}",
    'a,"b";c\nd\r\ne',
    "https://example.org/x",
    "\u202eback\u202c 👩‍👩‍👧🏽 e\u0301",
    "\u2028 \x85 \x1f",
]


def sample(texts: list[str]) -> pd.DataFrame:
    """Posts with these texts, hate and not in turn."""
    rows = [{"id": f"post{n}", "text": t, "label": n % 2} for n, t in enumerate(texts)]
    return posts.make(pd.DataFrame(rows).assign(source="toy"))


def predictions(table: pd.DataFrame, right: float, seed: int) -> pd.DataFrame:
    """Predictions right that often; each quotes the beginning of its post and something absent."""
    generator, rows = np.random.default_rng(seed), []
    for post in table.itertuples():
        label = int(post.label if generator.random() < right else 1 - post.label)
        told = [
            {"input": post.text[:5], "explanation": f"{post.text} <i>"},
            {"input": "nowhere", "explanation": "=1"},
        ]
        explained = verdict.quotes(verdict.Parsed(label, told), post.text)
        rows.append({"id": post.id, "predicted": label, "explanations": explained})
    return pd.DataFrame(rows)


def models(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {"teacher": predictions(table, 0.8, 1), "student": predictions(table, 0.6, 2)}


def drawn(count: int = 120, n: int = 12, checks: int = 2, seed: int = 0, texts=None):
    """Items and key of a sheet over so many posts, or over the texts."""
    table = sample(texts or [f"post number {number} says hello" for number in range(count)])
    return sheet.draw(table, models(table), n=n, checks=checks, seed=seed)
