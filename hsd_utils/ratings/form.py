"""A form for JupyterLab: read one answer, press a key, the answer is on disk.

Every event is appended to a JSON Lines file of the rater's: consent, what was shown, each
answer, stop.  So nothing is lost when a browser closes, the form goes on where it was left, and
the file is the exposure log too.  The last answer to a question counts.  A line cut short (a full
disk) is skipped and stays.  ipywidgets is imported when a form is made.

    form.Form(items, run.ratings("returned/rater-0a1b2c.jsonl"), "rater-0a1b2c").box
    rated = form.read(run.ratings("returned/rater-0a1b2c.jsonl"), items)
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import escape
from itertools import pairwise
from os.path import commonprefix
from pathlib import Path

import mistune
import pandas as pd

from hsd_utils import paths, ratings
from hsd_utils.ratings import CAP, QUESTIONS, RATER, REST, SIDES, rubric
from hsd_utils.ratings.sheet import card, instructions

log = logging.getLogger(__name__)
KEYS = {"1": "yes", "2": "partly", "3": "no", "0": "skip"}
HEAD = ">"  # before the keys in their field
_BUTTONS = {"y": "agree and begin", **KEYS, "b": "back", "r": "reveal", "q": "stop"}


class Form:
    """The form of one rater, shown by its ``box``; ``press`` is what keys and buttons do.

    y agrees to the consent text; 1, 2, 3 answer yes, partly, no; 0 skips the rest of the post;
    b (or deleting a character) goes back; r clears the blur; q stops.  CAP posts after the last
    rest the form asks for another, of REST hours from the last post shown.  Raises ImportError
    without ipywidgets, ValueError for a rater that is no pseudonym and for a file of another
    rater or sheet.
    """

    def __init__(
        self,
        items: list[dict],
        path: Path,
        rater: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ):
        if not RATER.fullmatch(rater):
            raise ValueError(f"rater {rater!r}: use a pseudonym such as rater-0a1b2c")
        self.items = {item["item"]: item for item in items}
        self.path, self.now = path, now
        self.head = {"kind": "human", "sheet": items[0]["sheet"], "rater": rater}
        self.places = [(i, s, q) for i in self.items for s in SIDES for q in QUESTIONS]
        self.events = _events(path)
        for event in self.events:
            if any(event[name] != value for name, value in self.head.items()):
                raise ValueError(f"{path.name} is of another rater or sheet: give each a file")
        given = [event for event in self.events if event["event"] == "answer"]
        answered = {(e["item"], e["side"], e["question"]) for e in given}
        self.open = [place for place in self.places if place not in answered]
        self.back = None  # a place gone back to
        self.stopped, self.revealed = False, None  # revealed: an item
        self.agreed = any(event["event"] == "consent" for event in self.events)
        self._build()
        self._update()

    @property
    def place(self) -> tuple[str, str, str] | None:
        """Item, side and question asked next; None when all are answered."""
        return self.back or (self.open[0] if self.open else None)

    def press(self, key: str) -> None:
        """Do what a key stands for; a key that stands for nothing now is ignored."""
        if not self.agreed:
            if key == "y":
                self._log("consent")
                self.agreed = True
        elif key == "q":
            self.stopped = True
            self._log("stop")
        elif self.stopped or self._resting():
            return
        elif key == "b":
            at = self.places.index(self.place) if self.place else len(self.places)
            self.back = self.places[max(at - 1, 0)]
        elif key == "r" and self.place:
            item = self.place[0]
            self.revealed = None if self.revealed == item else item
        elif key in KEYS and self.place:
            self._answer(KEYS[key])
        self._update()

    def _answer(self, answer: str) -> None:
        item, side, question = self.place
        rest = [place for place in self.open if place[0] == item] if answer == "skip" else []
        for place in dict.fromkeys([(item, side, question), *rest]):
            self._log("answer", *place, answer)
            self.open = [other for other in self.open if other != place]
        self.back = None

    def _log(self, event: str, item=None, side=None, question=None, answer=None) -> None:
        row = {"at": self.now().isoformat(timespec="seconds"), "event": event, **self.head}
        given = {"item": item, "side": side, "question": question, "answer": answer}
        row |= {name: value for name, value in given.items() if value is not None}
        paths.append(self.path, row)
        self.events.append(row)

    def _recent(self) -> set[str]:
        """The posts shown since the last rest."""
        shown = [event for event in self.events if event["event"] == "shown"]
        times = [*(datetime.fromisoformat(event["at"]) for event in shown), self.now()]
        rest = timedelta(hours=REST)
        begun = [n for n, (a, b) in enumerate(pairwise(times), 1) if b - a >= rest]
        return {event["item"] for event in shown[max(begun, default=0) :]}

    def _resting(self) -> bool:
        recent = self._recent()
        return len(recent) >= CAP and self.place is not None and self.place[0] not in recent

    def _build(self) -> None:
        import ipywidgets as widgets

        # Of bounded height: when much text gives way to little, JupyterLab shows an empty page.
        bound = {"max_height": "60vh", "overflow": "auto", "flex": "none"}
        self.told, self.card, self.asked = (widgets.HTML(layout=bound) for _ in range(3))
        hint = "click here once, then use the keys"
        self.keys = widgets.Text(description="keys", placeholder=hint, continuous_update=True)
        self.keys.observe(self._typed, names="value")
        self.buttons = {
            key: widgets.Button(description=f"{key} {word}") for key, word in _BUTTONS.items()
        }
        for key, button in self.buttons.items():
            button.on_click(lambda _, key=key: self.press(key))
        row = widgets.HBox(list(self.buttons.values()), layout={"flex_flow": "row wrap"})
        self.box = widgets.VBox([self.told, self.card, self.asked, self.keys, row])

    def _typed(self, change) -> None:
        # Of 12 a 1 is left by deleting and by typing 1 over all of it: HEAD stays, or goes.
        # The field is never emptied: a key typed meanwhile would come again with the old ones.
        old, new = change["old"], change["new"]
        if new and HEAD not in new:
            self.keys.value = HEAD + new
            # What was there comes again with a key that was typed before HEAD was shown.
            keys = new.removeprefix(old.removeprefix(HEAD)) or new
        else:
            start = len(commonprefix([old, new]))
            end = len(commonprefix([old[start:][::-1], new[start:][::-1]]))
            keys = new[start : len(new) - end] or ("b" if len(new) < len(old) else "")
        for key in keys:
            self.press(key)

    def _update(self) -> None:
        asking = self.agreed and not self.stopped and self.place and not self._resting()
        self.card.value = self.asked.value = ""
        if asking:
            item, side, question = self.place
            if item not in self._recent():
                self._log("shown", item)
            done = f"{len(self.places) - len(self.open)} of {len(self.places)} answers"
            self.told.value = f"<b>{item}, answer {side}</b> · {done}, all saved"
            self.card.value = card(self.items[item], side, blurred=item != self.revealed)
            self.asked.value = f"<b>{question}</b>: {escape(rubric()['questions'][question])}"
        elif not self.agreed:
            text = mistune.create_markdown(escape=True, plugins=["url"])(instructions())
            self.told.value = f'<div style="line-height: 1.4">{text}</div>'
        elif self.stopped:
            self.told.value = "Stopped; all is saved. Make the form again to go on. " + _support()
        elif not self.place:
            self.told.value = "All done. Thank you. " + _support()
        else:
            self.told.value = f"{CAP} posts: time for a rest of {REST} hours. {_support()}"
        for key, button in self.buttons.items():
            ended = key == "b" and not (self.place or self.stopped)  # the last may be mended
            button.disabled = (key == "y" or not (asking or ended)) if self.agreed else key != "y"


def _support() -> str:
    return escape(" ".join(rubric()["support"]))


def _written(event) -> bool:
    """Whether a form writes such an event."""
    if not isinstance(event, dict):
        return False
    further = {"shown": ("item",), "answer": ("item", "side", "question", "answer")}
    needed = ["at", "event", "kind", "sheet", "rater", *further.get(str(event.get("event")), ())]
    whole = all(isinstance(event.get(name), str) for name in needed)
    return whole and event.get("question", QUESTIONS[0]) in QUESTIONS


def _events(path: Path) -> list[dict]:
    """The events of a file, none if no file; lines that cannot be read are skipped and counted.

    Raises ValueError for a line that can be read and is no event of a form.
    """
    events = paths.lines(path)
    for number, event in enumerate(events, 1):
        if event is not None and not _written(event):
            raise ValueError(f"{path.name}, line {number}: no form writes that")
    if cut := events.count(None):
        log.warning("%s: %d line(s) cut short and skipped; the form asks again", path.name, cut)
    return [event for event in events if event]


def read(path: Path, items: list[dict]) -> pd.DataFrame:
    """The ratings in a form's file, checked; empty where a rater agreed and stopped before any.

    Raises ValueError where a rater did not consent, for a file that is no form's, and as
    ``ratings.check`` does.
    """
    rows, events = {}, _events(path)
    agreed = {event["rater"] for event in events if event["event"] == "consent"}
    if not agreed:
        raise ValueError(f"{path.name}: nobody consented, so nothing in it is used")
    for event in events:
        if event["event"] == "answer":
            if event["rater"] not in agreed:
                raise ValueError(f"{path.name}: {event['rater']} has not consented")
            place = {name: event[name] for name in ("kind", "sheet", "rater", "item", "side")}
            row = rows.setdefault(tuple(place.values()), place | dict.fromkeys(QUESTIONS))
            row[event["question"]] = event["answer"]
    rated = pd.DataFrame(rows.values(), columns=ratings.COLUMNS)
    return ratings.check(rated, items, file=path.name) if rows else rated
