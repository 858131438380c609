"""The detector's quotes stand in the text as it was given, whatever cleaning did to it."""

from dataclasses import asdict

from fakes import Slipping

from hsd_utils import detect, engines, sampling, verdict
from hsd_utils.detect import Detector
from hsd_utils.paths import Run


def test_a_quote_with_a_mention_or_a_link_is_found_in_the_text_as_given(toy):
    given = "Really\u200b  @someone_awful, see https://a.example/x now"
    detector = Detector.of_run("demo")
    for quote, there in (("@user", "@someone_awful,"), ("http now", "https://a.example/x now")):
        cleaned = sampling.clean_text(given)
        place = asdict(verdict.locate(quote, cleaned))
        assert place["how"] is not None
        found = detect._as_given({"input": quote, **place}, cleaned, given)
        assert given[found["start"] : found["end"]] == there and found["how"] == place["how"]
    assert detector.anonymise  # as its run did; else names stay what they are
    Detector(detector.open, 0.5, False).read([given]).__next__()
    assert "@someone_awful" in toy.asked[-1]


def test_names_and_links_stay_where_the_run_left_them(toy):
    Run("demo").stage_manifest("01_sampling").write_text('{"parameters": {"anonymise": false}}')
    next(Detector.of_run("demo").read(["see @someone_awful"]))
    assert toy.asked[-1] == "see @someone_awful"


def test_a_quote_that_slipped_is_asked_for_again(toy, monkeypatch):
    fake = Slipping({"awful people": 0.6})
    monkeypatch.setattr(engines, "load", lambda *a, **k: fake)
    (found,) = Detector.of_run("demo").read(["awful people"])
    (quote,) = found["explanations"]
    assert (quote["input"], quote["how"], found["label"]) == ("awful people", "exact", 1)


def test_a_quote_that_stands_exactly_in_the_cleaned_text_is_not_looked_for_by_likeness():
    given = "look https://example.org/a/very/long/path/here they are all vermin"
    cleaned = sampling.clean_text(given)
    place = asdict(verdict.locate("http they are all vermin", cleaned))
    found = detect._as_given({"input": "http they are all vermin", **place}, cleaned, given)
    assert found["how"] == "exact" and given[found["start"] :].startswith("https://example.org")
