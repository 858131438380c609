"""What the ratings say, for people: three tables, a figure of stacked bars, and five lists.

Tables and figure are over all raters, and may be published.  The lists name raters: they lie in
``ratings/by_rater/``, which goes neither into git nor to raters, as the consent text promises.
Of simulated ratings every caption, row and figure says that no person gave them.

    report.save(results.measure(rated, key, margin=0.1), stage.run)
    report.save_lists(rated, items, key, stage.run)
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hsd_utils import look, ratings, tables
from hsd_utils.paths import Run
from hsd_utils.ratings import QUESTIONS, lists

TITLES = {
    "complete": "complete",
    "correct_own": "correct (own label)",
    "correct_gold": "correct (gold label)",
}
NAMES = ("ratings", "ratings_agreement", "ratings_equivalence")
BANNER = "SIMULATED, rated by no person: "
_GREYS = {"yes": "#4d4d4d", "partly": "#a6a6a6", "no": "#e6e6e6"}


def shown(found: dict) -> dict[str, pd.DataFrame]:
    """The tables for people, by their NAMES: shares, agreement, equivalence."""
    shares, agreed, equal = (
        pd.DataFrame(found[part]).assign(question=lambda t: t["question"].map(TITLES))
        for part in ("shares", "agreement", "equivalence")
    )
    for name in ("margin", "p_value", "equivalent"):
        equal[name] = [test[name] for test in equal["population"]]  # as C5 is judged
    return dict(zip(NAMES, (shares, agreed, equal), strict=True))


def headline(found: dict):
    """Who rated, for a notebook; over simulated ratings a banner that says so."""
    from IPython.display import HTML

    if found["kind"] != "simulated":
        return HTML(f"<p>{_who(found)}</p>")
    style = "border: 3px solid #b00020; padding: .6em 1em; max-width: 46em"
    said = "Random answers, to show what tables and figure will look like. They count nowhere."
    return HTML(
        f'<p role="alert" style="{style}"><strong>{BANNER}{_who(found)}.</strong> {said}</p>'
    )


def _who(found: dict) -> str:
    return f"{found['raters']} {found['kind']} raters, {found['posts']} posts"


def files(run: Run) -> list[Path]:
    """What ``save`` and ``save_lists`` write, but for the lists: the outputs of a stage.

    A manifest is published, and a list can be so short that its hash would tell it.
    """
    return [*run.figures(NAMES[0]), *run.tables(*NAMES), by_rater(run, NAMES[0])]


def by_rater(run: Run, name: str) -> Path:
    """What names raters: a list of ``save_lists``, or all their answers, NAMES[0]."""
    return run.ratings(f"by_rater/{name}.csv")


def save(found: dict, run: Run) -> Figure:
    """The tables NAMES and the figure NAMES[0] in the run; returns the figure."""
    banner, who = BANNER if found["kind"] == "simulated" else "", _who(found)
    level = found["equivalence"][0]["difference"]["level"]
    captions = (
        f"Completeness and correctness of explanations ({who}); 95% Wilson intervals.",
        f"Agreement between raters ({who}): alpha, AC1, mean kappa of the pairs (from, to).",
        f"Equivalence of the two models' explanations ({who}); {level:.0%} score intervals.",
    )
    for (name, frame), caption in zip(shown(found).items(), captions, strict=True):
        tables.save(frame, run, name, banner + caption, digits=2)
    figure = stacked(found)
    look.save(figure, run, NAMES[0], {name: found[name] for name in ("kind", "raters", "shares")})
    return figure


def save_lists(
    rated: pd.DataFrame, items: list[dict], key: list[dict], run: Run
) -> dict[str, pd.DataFrame]:
    """Five lists, whole: what each left out and saw, where they differ, kappas, contradictions.

    Written, with all the answers, as CSV for who runs the study.  They name raters, items and
    sides; whose answer it is, and of which post, says the key alone.
    """
    found = {
        "ratings_left_out": lists.left_out(rated, items),
        "ratings_disagreements": lists.disagreements(rated, key).drop(columns=["id", "model"]),
        "ratings_exposure": lists.exposure(rated, items, key),
        "ratings_kappa": lists.kappas(rated, key),
        "ratings_contradictory": lists.contradictions(rated, items),
    }
    for frame in found.values():
        frame.insert(0, "ratings", ratings.kind(rated))
    for name, frame in {NAMES[0]: rated, **found}.items():
        path = by_rater(run, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(path, index=False)
    return found


def stacked(found: dict, width: float = look.PAGE) -> Figure:
    """Share of yes, partly and no, a panel a question and a bar a model and subset of posts."""
    shares = pd.DataFrame(found["shares"])
    bars = shares["model"] + ", " + shares["posts"]
    names = list(bars.unique())
    figure, parts = look.panels(len(QUESTIONS), width, 1 + 0.25 * len(names), sharey=True)
    for axes, question in zip(parts, QUESTIONS, strict=True):
        mine = shares.set_index(bars)[(shares["question"] == question).to_numpy()]
        left = np.zeros(len(mine))
        for word, color in _GREYS.items():
            part = (mine[word] / mine["n"].clip(lower=1)).to_numpy(float)
            axes.barh(mine.index, part, left=left, color=color, label=word, ec="black", lw=0.4)
            left = left + part
        for bar, n in mine["n"].items():
            axes.annotate(f"n={n}", (1.02, bar), va="center", fontsize=6, annotation_clip=False)
        axes.set(title=TITLES[question], xlabel="share of posts", xlim=(0, 1))
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(False, axis="y")
    look.below(figure, parts[0])
    if found["kind"] == "simulated":
        figure.suptitle(BANNER.rstrip(": "), color="#b00020", fontsize=8)
    return figure
