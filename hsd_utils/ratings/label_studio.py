"""The sheet as Label Studio tasks, its labelling configuration, and its export read back.

Import the tasks, paste the configuration under Labeling Interface and ``instructions.md`` under
Instructions, shown before labelling: whoever submits has agreed to it.  Each task says which
session it belongs to, and can be filtered by it.  Export as JSON.  Raters become pseudonyms by
their numbers; names and addresses in the export are not taken over, and predictions (answers by
a model) are not ratings.

    label_studio.write(items, run.ratings("label_studio_tasks.json"), run.ratings("config.xml"))
    rated = label_studio.read(run.ratings("returned/export.json"), items)
"""

import json
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pandas as pd

from hsd_utils import ratings
from hsd_utils.ratings import ANSWERS, COLUMNS, QUESTIONS, SIDES, rubric
from hsd_utils.ratings.sheet import STYLE, card


def config() -> str:
    """The labelling configuration: the session, two cards, three questions about each."""
    told = rubric()
    rows = ["<View>", f"  <Style>{STYLE}</Style>"]
    rows.append(f"  <Header value={quoteattr(told['warning'])}/>")
    rows.append('  <Header size="5" value="$session"/>')
    for side in SIDES:
        rows.append(f'  <HyperText name="{side}" value="${side}" valueType="text" inline="true"/>')
        for question in QUESTIONS:
            asked = quoteattr(f"{side}: {told['questions'][question]}")
            rows.append(f'  <Header size="5" value={asked}/>')
            named = f'name="{side}_{question}" toName="{side}"'
            rows.append(f'  <Choices {named} choice="single" showInline="true" required="true">')
            rows += [f'    <Choice value="{answer}"/>' for answer in ANSWERS]
            rows.append("  </Choices>")
    return "\n".join([*rows, "</View>", ""])


def tasks(items: list[dict]) -> list[dict]:
    """A task an item: its session, the cards as escaped HTML, what ties answers to the sheet."""
    session = ratings.sessions(items)
    return [
        {
            "data": {"kind": "human", "sheet": item["sheet"], "item": item["item"]}
            | {"session": f"Session {session[item['item']]}: {ratings.PACE}"}
            | {side: card(item, side) for side in SIDES}
        }
        for item in items
    ]


def write(items: list[dict], tasks_path: Path, config_path: Path) -> None:
    tasks_path.parent.mkdir(parents=True, exist_ok=True)
    tasks_path.write_text(json.dumps(tasks(items), ensure_ascii=False, indent=1), encoding="utf-8")
    config_path.write_text(config(), encoding="utf-8")


def read(path: Path, items: list[dict]) -> pd.DataFrame:
    """The ratings of a JSON export, checked; a rater may have stopped.

    A task submitted by Skip is skipped in all its questions.  Raises ValueError for a file that
    is no such export, and as ``ratings.check`` does.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        rows = [row for task in found for each in task["annotations"] for row in _rows(task, each)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path.name} is no export of these tasks ({error!r}): export as JSON, not JSON-MIN"
        ) from None
    rated = pd.DataFrame(rows, columns=COLUMNS, dtype=object)
    return ratings.check(rated, items, file=path.name)


def _rows(task: dict, annotation: dict) -> list[dict]:
    by = annotation["completed_by"]
    rater = f"rater-ls{int(by['id'] if isinstance(by, dict) else by):03}"
    empty = "skip" if annotation.get("was_cancelled") else None
    head = {name: task["data"].get(name) for name in ("kind", "sheet", "item")} | {"rater": rater}
    rows = {side: head | {"side": side} | dict.fromkeys(QUESTIONS, empty) for side in SIDES}
    for answer in [] if empty else annotation["result"]:
        side, _, question = answer["from_name"].partition("_")
        if answer["type"] == "choices" and side in rows and question in QUESTIONS:
            before = [rows[side][question]] if rows[side][question] not in (None, "skip") else []
            rows[side][question] = " and ".join(before + answer["value"]["choices"])
    return list(rows.values())
