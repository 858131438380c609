"""The form in JupyterLab, driven by its handlers: keys, buttons, autosave, resume, breaks."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from rated import HOSTILE, drawn

from hsd_utils.ratings import QUESTIONS
from hsd_utils.ratings.form import Form, read

pytest.importorskip("ipywidgets")
RATER = "rater-0a1b"


class Clock:
    """A minute a look."""

    def __init__(self):
        self.at = datetime(2026, 1, 5, 9, tzinfo=UTC)

    def __call__(self):
        self.at += timedelta(seconds=10)
        return self.at


@pytest.fixture
def items():
    return drawn(texts=HOSTILE * 2, n=8, checks=1)[0]


@pytest.fixture
def opened(items, tmp_path):
    """Opens the form again and again on the same file."""
    clock = Clock()

    def make():
        form = Form(items, tmp_path / "form.jsonl", RATER, now=clock)
        form.clock = clock
        return form

    return make


def type_in(form, keys):
    for key in keys:
        form.keys.value += key


def lines(form):
    return [json.loads(line) for line in form.path.read_text().splitlines()]


def test_nothing_is_shown_or_saved_before_consent(opened):
    form = opened()
    type_in(form, "123bq0r")
    told = ("Content warning", "stop at any time", "<h2>Support</h2>", "<strong>complete</strong>")
    assert all(words in form.told.value for words in told)
    assert form.card.value == "" and not form.path.exists()
    assert [key for key, button in form.buttons.items() if not button.disabled] == ["y"]
    form.buttons["y"].click()
    assert [event["event"] for event in lines(form)] == ["consent", "shown"]
    assert form.card.value and form.buttons["y"].disabled and not form.buttons["1"].disabled


def test_every_key_is_on_disk_at_once_and_comes_back(opened, items):
    form = opened()
    type_in(form, "y")
    for count, key in enumerate("123321", 1):
        type_in(form, key)
        assert sum(event["event"] == "answer" for event in lines(form)) == count
    found = read(form.path, items)
    assert found["kind"].tolist() == ["human"] * 2 and set(found["rater"]) == {RATER}
    assert found["item"].tolist() == ["item-001"] * 2 and found["side"].tolist() == ["A", "B"]
    given = found[list(QUESTIONS)].to_numpy().tolist()
    assert given == [["yes", "partly", "no"], ["no", "partly", "yes"]]


def test_a_whole_sheet_by_keys_and_buttons(opened, items):
    form = opened()
    type_in(form, "y")
    while form.place:
        form.buttons["1"].click()
        if form.place:
            type_in(form, "3")
    assert "All done" in form.told.value and form.card.value == ""
    found = read(form.path, items)
    assert len(found) == 2 * len(items) and found.notna().all(axis=None)
    type_in(form, "1")  # does nothing
    assert read(form.path, items).equals(found) and not form.buttons["b"].disabled


def test_what_was_typed_counts_once_and_deleting_goes_back(opened, items):
    form = opened()
    form.keys.value = "y1"
    form.keys.value = "y12"  # before the browser got what stands before the keys
    assert form.place == ("item-001", "A", "correct_gold")
    form.keys.value = form.keys.value[:-1]
    assert form.place == ("item-001", "A", "correct_own")
    form.keys.value += "3"
    for over in ("something else", "2", "12", "1"):  # all marked and typed over
        form.keys.value = over
    form.keys.value = "3" + form.keys.value
    found = read(form.path, items)[list(QUESTIONS)].to_numpy().tolist()
    assert found == [["yes", "no", "partly"], ["yes", "partly", "yes"], ["no", None, None]]


def test_a_form_goes_on_where_it_was_left_even_in_the_middle_of_a_line(opened, items, caplog):
    form = opened()
    type_in(form, "y1231")
    left = form.place
    with open(form.path, "a") as file:
        file.write('{"at": "2026-')
    again = opened()
    assert again.place == left and again.card.value and again.agreed
    type_in(again, "2")
    assert read(form.path, items).loc[1, ["complete", "correct_own"]].tolist() == ["yes", "partly"]
    assert sum(event["event"] == "shown" for event in opened().events) == 1
    assert form.path.name + ": 1 line(s) cut short" in caplog.text


def test_a_last_answer_without_its_line_break_is_kept_and_reading_changes_no_file(opened, items):
    form = opened()
    type_in(form, "y12")
    whole = form.path.read_bytes()[:-1]
    form.path.write_bytes(whole)
    assert read(form.path, items).loc[0, ["complete", "correct_own"]].tolist() == ["yes", "partly"]
    cut = whole[:-9]
    form.path.write_bytes(cut)
    assert read(form.path, items).loc[0, ["complete", "correct_own"]].tolist() == ["yes", None]
    assert form.path.read_bytes() == cut
    form.path.write_bytes(whole)
    again = opened()
    assert again.place == ("item-001", "A", "correct_gold")
    type_in(again, "3")
    assert read(form.path, items).loc[0, list(QUESTIONS)].tolist() == ["yes", "partly", "no"]


def test_after_a_write_cut_short_the_same_form_goes_on(opened, items, monkeypatch):
    form = opened()
    type_in(form, "y1")

    def full(_):
        form.path.write_bytes(form.path.read_bytes()[:-9])
        raise OSError("No space left on device")

    with monkeypatch.context() as disk, pytest.raises(OSError):
        disk.setattr("os.fsync", full)
        form.press("2")
    form.press("3")
    assert read(form.path, items).loc[0, ["complete", "correct_own"]].tolist() == ["yes", "no"]
    assert opened().place == ("item-001", "A", "correct_gold")


def test_a_consent_that_was_not_written_is_asked_for_again(opened, monkeypatch):
    form = opened()
    with monkeypatch.context() as disk, pytest.raises(OSError):
        disk.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("full")))
        form.press("y")
    assert not form.agreed


def test_skip_leaves_the_post_and_stop_the_form(opened, items):
    form = opened()
    type_in(form, "y10")
    assert form.place[0] == "item-002"
    found = read(form.path, items)
    assert found[list(QUESTIONS)].to_numpy().tolist() == [["yes", "skip", "skip"], ["skip"] * 3]
    type_in(form, "q1")
    assert "Stopped" in form.told.value and form.card.value == ""
    assert read(form.path, items).equals(found)
    assert opened().place[0] == "item-002"


def test_after_the_cap_there_is_a_break_and_after_the_break_it_goes_on(opened, monkeypatch):
    monkeypatch.setattr("hsd_utils.ratings.form.CAP", 2)
    form = opened()
    type_in(form, "y00")
    told = ("2 posts: time for a rest of 12 hours", "findahelpline")
    assert all(words in form.told.value for words in told) and form.card.value == ""
    type_in(form, "1b0")
    assert form.place[0] == "item-003" and "a rest" in opened().told.value
    form.clock.at += timedelta(hours=13)
    assert opened().card.value


def test_a_session_is_over_with_a_rest_and_not_when_its_first_post_is_long_ago(opened, monkeypatch):
    monkeypatch.setattr("hsd_utils.ratings.form.CAP", 3)
    form = opened()
    type_in(form, "y")
    for hours in (5, 6):  # three posts within 11 hours
        form.clock.at += timedelta(hours=hours)
        type_in(form, "0")
    form.clock.at += timedelta(hours=2)  # the first is 13 hours ago
    type_in(form, "0")
    assert form.card.value == opened().card.value == ""
    form.clock.at += timedelta(hours=9.5)
    assert opened().card.value == ""
    form.clock.at += timedelta(hours=1)
    later = opened()
    type_in(later, "00")  # the first three of a new session: two may follow
    assert later.place[0] == "item-006" and later.card.value


def test_posts_are_blurred_until_revealed_and_blurred_again(opened, items):
    form = opened()
    type_in(form, "y")
    assert 'class="hsd-blur"' in form.card.value
    type_in(form, "r")
    assert 'class="hsd-blur"' not in form.card.value
    type_in(form, "0")
    assert 'class="hsd-blur"' in form.card.value
    type_in(form, "rb")  # back from a post that is clear
    assert form.place[0] == "item-001" and 'class="hsd-blur"' in form.card.value


def test_a_hostile_post_stays_text(opened, items):
    form = opened()
    type_in(form, "y")
    for _ in items:
        assert "<script" not in form.card.value and "<img" not in form.card.value
        type_in(form, "0")
    assert form.place is None


def test_another_person_sheet_or_a_real_name_is_refused(opened, items, tmp_path):
    form = opened()
    type_in(form, "y")
    with pytest.raises(ValueError, match="another rater or sheet"):
        Form(items, form.path, "rater-9999")
    with pytest.raises(ValueError, match="pseudonym"):
        Form(items, tmp_path / "new.jsonl", "Maria Example")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(ValueError, match="nobody consented"):
        read(tmp_path / "empty.jsonl", items)


def test_a_line_that_no_form_writes_and_a_rater_without_consent_are_refused(opened, items):
    form = opened()
    type_in(form, "y1")
    whole, answer = form.path.read_text(), lines(form)[-1]
    for wrong in ([], 1, {"text": "a post"}, answer | {"question": "x"}, answer | {"side": None}):
        form.path.write_text(whole + json.dumps(wrong) + "\n")
        with pytest.raises(ValueError, match="form.jsonl, line 4: no form writes that"):
            read(form.path, items)
    form.path.write_text(whole + json.dumps(answer | {"rater": "rater-9999"}) + "\n")
    with pytest.raises(ValueError, match="form.jsonl: rater-9999 has not consented"):
        read(form.path, items)
