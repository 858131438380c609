"""The embedded corpus: size, balance, spans, reproducibility, and that it is not trivial."""

import hashlib
import os
import re
import subprocess
import sys
import unicodedata
from importlib.resources import files

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hsd_utils import corpus, near_duplicates, posts


@pytest.fixture(scope="module")
def table():
    return corpus.build()


def digest(table) -> str:
    return hashlib.sha256(table.to_json().encode()).hexdigest()


def test_sizes_and_balance(table):
    assert len(table) >= 800
    assert table["source"].nunique() >= 6
    assert table["target"].nunique() >= 7
    assert table.groupby("label")["functionality"].nunique().min() >= 12
    cells = table.groupby(["source", "label"])
    assert cells.size().min() >= 60 and cells["group"].nunique().min() >= 20
    assert (table.groupby("source")["label"].mean() == 0.5).all()
    named = table[table["target"].notna()].groupby("target")["label"].mean()
    assert named.between(0.4, 0.65).all()


def test_is_a_valid_table_of_distinct_english_posts(table):
    posts.check(table)
    assert list(table.columns) == list(posts.COLUMNS)
    assert table["text"].str.lower().is_unique
    assert table["id"].str.fullmatch(r"corpus-[0-9a-f]{8}").all()
    assert set(table["language"]) == {"en"}


def test_texts_are_clean(table):
    for text in table["text"]:
        assert text == unicodedata.normalize("NFC", text).strip()
        assert not re.search(r"[\[\]{}|]|\s\s", text), text
    assert not table["explanation"].str.contains(r"[\[\]{}|]").any()


def test_spans_hold_whole_phrases_and_leave_something_out(table):
    for text, spans in zip(table["text"], table["rationale"], strict=True):
        assert spans and spans == sorted(spans)
        for start, end in spans:
            phrase = text[start:end]
            assert phrase == phrase.strip() and " " in phrase
            assert not re.search(r"[.!?]", phrase), phrase
            assert not re.search(r"\w\Z", text[:start]) and not re.match(r"\w", text[end:])
        assert sum(end - start for start, end in spans) < len(text)


def test_explanations_are_one_sentence_and_name_the_group(table):
    for explanation in table["explanation"]:
        assert re.fullmatch(r"[A-Z][^.?!]+\.", explanation), explanation
    hateful = table[table["label"] == 1]
    assert hateful["target"].notna().all()
    assert all(t in e for t, e in zip(hateful["target"], hateful["explanation"], strict=True))


def test_an_explanation_speaks_of_what_the_post_says(table):
    rows = table[(table["functionality"] == "objects") & table["text"].str.contains("asps")]
    assert len(rows) and rows["explanation"].str.contains("wasps").all()


def test_the_same_seed_gives_the_same_bytes(table):
    code = "import hashlib; from hsd_utils import corpus; "
    code += "print(hashlib.sha256(corpus.build().to_json().encode()).hexdigest())"
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    root = str(files("hsd_utils") / "..")
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, cwd=root, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == digest(table), done.stderr
    assert digest(corpus.build(1)) != digest(table)


def test_a_changed_template_leaves_the_other_posts_alone(table, monkeypatch):
    rows = [
        (s, f, g, t + " See {venue}.") if g == "tweet/irony/1" else (s, f, g, t)
        for s, f, g, t in corpus.templates()
    ]
    monkeypatch.setattr(corpus, "templates", lambda: iter(rows))
    changed = corpus.build()["text"] != table["text"]
    assert set(table["group"][changed]) == {"tweet/irony/1"}


def test_a_template_that_repeats_itself_is_named(monkeypatch):
    row = ("chat", "irony", "chat/irony/1", "well, {many} [came again]")
    monkeypatch.setattr(corpus, "templates", lambda: iter([row]))
    monkeypatch.setattr(corpus, "POSTS_PER_TEMPLATE", 100_000)
    monkeypatch.setattr(posts, "make", list)
    with pytest.raises(ValueError, match="chat/irony/1 repeats itself"):
        corpus.build()


def test_every_template_is_one_group_of_one_label_source_and_case(table):
    groups = table.groupby("group")
    for column in ("label", "source", "functionality"):
        assert (groups[column].nunique() == 1).all()
    assert (groups.size() == corpus.POSTS_PER_TEMPLATE).all()


def test_posts_of_different_templates_are_not_near_duplicates(table):
    near = near_duplicates.pairs(table["text"], 0.8)
    group = table["group"].to_numpy()
    assert (group[near[:, 0]] == group[near[:, 1]]).all()


@pytest.mark.parametrize("seed", range(5))
def test_words_alone_help_but_do_not_solve_it(table, seed):
    split = GroupShuffleSplit(1, train_size=0.5, random_state=seed)
    train, test = next(split.split(table, groups=table["group"]))
    assert not set(table["group"].iloc[train]) & set(table["group"].iloc[test])
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=1000))
    model.fit(table["text"].iloc[train], table["label"].iloc[train])
    gold, hate = table["label"].iloc[test], model.predict_proba(table["text"].iloc[test])[:, 1]
    assert 0.60 < f1_score(gold, hate > 0.5) < 0.90
    assert 0.70 < roc_auc_score(gold, hate) < 0.95


def test_looks_do_not_give_the_label_away(table):
    marks = {"emoji": r"[^\x00-\x7f]", "case": "[A-Z]", "tags": "#", "digits": r"\d"}
    marks |= {"ends": r"[.!?]", "commas": ",", "quotes": '"', "words": r"\w+", "all": r"(?s)."}
    looks = table[["label"]].assign(**{k: table["text"].str.count(m) for k, m in marks.items()})
    model, parts = make_pipeline(StandardScaler(), LogisticRegression()), GroupKFold(10)
    scores = cross_val_predict(
        model,
        looks[list(marks)],
        table["label"],
        groups=table["group"],
        cv=parts,
        method="predict_proba",
    )
    assert roc_auc_score(table["label"], scores[:, 1]) < 0.60
    for _, rows in looks.groupby(table["source"]):
        assert 0.35 < roc_auc_score(rows["label"], rows["all"]) < 0.65


def test_styles_look_different(table):
    text = table["text"].groupby(table["source"])
    words = text.apply(lambda t: t.str.split().str.len().median())
    assert words["corpus/letter"] > 2 * words["corpus/chat"]
    assert text.apply(lambda t: t.str.contains("#").mean()).idxmax() == "corpus/tweet"
    assert text.apply(lambda t: t.str.islower().mean()).idxmax() == "corpus/chat"
    assert (text.apply(lambda t: t.str.contains("\n").mean())["corpus/letter"]) == 1


def counts(table):
    """Counts as Markdown, in all and by source (the block of DATA_CARD.md)."""
    cases = table.groupby("label")["functionality"].nunique()
    by_source = table.assign(words=table["text"].str.split().str.len()).groupby("source")
    rows = by_source.agg({"id": "size", "label": "sum", "group": "nunique", "words": "median"})
    return "\n".join(
        [
            f"{len(table)} posts, {table['label'].sum()} of them hateful, from "
            f"{table['group'].nunique()} templates; {table['target'].nunique()} target groups; "
            f"{cases[1]} hateful functionalities and {cases[0]} hard negatives.",
            "",
            "| source | posts | hateful | templates | words a post (median) |",
            "|---|---|---|---|---|",
            *(
                f"| {row[0]} | " + " | ".join(f"{n:.0f}" for n in row[1:]) + " |"
                for row in rows.itertuples()
            ),
        ]
    )


def test_data_card_shows_the_present_counts(table):
    card = (files("hsd_utils") / "corpus" / "DATA_CARD.md").read_text(encoding="utf-8")
    assert counts(table) in card, f"paste into DATA_CARD.md:\n{counts(table)}"
