"""Form and card in a real JupyterLab, driven in a real Chromium: ``make test-browser``.

Skipped where Playwright (requirements-browser.txt) or a Chromium is missing; ``CHROMIUM`` names
one that is not on the path.  Screenshots go to ``outputs/browser``, for people to look at.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from rated import HOSTILE, drawn

from hsd_utils import paths
from hsd_utils.ratings.form import read

WANTED = bool(os.environ.get("HSD_BROWSER"))  # by make test-browser: then nothing is skipped
if not WANTED:
    pytest.importorskip("playwright", reason="make test-browser installs it")
from playwright.sync_api import sync_playwright  # noqa: E402

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
if not CHROMIUM:
    ADVICE = "no Chromium: install one (apt-get install chromium) or name it in CHROMIUM"
    pytest.fail(ADVICE, pytrace=False) if WANTED else pytest.skip(ADVICE, allow_module_level=True)
pytestmark = pytest.mark.slow

RATER = "rater-0a1b"
ITEMS = drawn(texts=HOSTILE, n=len(HOSTILE), checks=1)[0]
FORM = f"""from pathlib import Path
from rated import HOSTILE, drawn
from hsd_utils.ratings.form import Form
items = drawn(texts=HOSTILE, n=len(HOSTILE), checks=1)[0]
Form(items, Path("form.jsonl"), {RATER!r}).box"""
CARD = """from IPython.display import HTML
from hsd_utils import verdict, verdict_card
text = "Kind people <script>alert(1)</script><img src=x onerror=alert(2)> $x^2$, more kind people"
told = [{"input": "Kind people", "explanation": "<b onclick=alert(3)>Praise</b>."},
        {"input": "more kind people", "explanation": "Again."}]
row = {"predicted": 0, "p_hate": 0.2, "explanations": verdict.quotes(verdict.Parsed(0, told), text)}
HTML(verdict_card.html(text, row, 0, 0.1, reveal=True) + verdict_card.html(text, row))"""
CARDS = ".jp-OutputArea-output div.mathjax_ignore"
THEMES = ("Light", "Dark")
# Contrast of an element's text with what lies behind it: WCAG 2.1, ratio of relative luminances.
CONTRAST = r"""element => {
  const parts = colour => colour.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => { const [R, G, B] = [r, g, b].map(v => (v /= 255) <= 0.04045
    ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * R + 0.7152 * G + 0.0722 * B; };
  let layers = [], behind = [255, 255, 255];  // translucent colours let those beneath through
  for (let at = element; at && (layers.at(-1)?.[3] ?? 0) < 1; at = at.parentElement)
    layers.push([...parts(getComputedStyle(at).backgroundColor), 1].slice(0, 4));
  for (const layer of layers.reverse())
    behind = behind.map((v, i) => v * (1 - layer[3]) + layer[i] * layer[3]);
  const both = [light(parts(getComputedStyle(element).color)), light(behind)];
  return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05); }"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The folder and the address of a JupyterLab that has one notebook."""
    folder = tmp_path_factory.mktemp("lab")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [new_code_cell(FORM), new_code_cell(CARD)]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / "try.ipynb")
    settings = folder / "s" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = map(str, (paths.REPOSITORY, Path(__file__).parent))
    own = {f"JUPYTER_{name}_DIR": str(folder / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    own |= {"PYTHONPATH": os.pathsep.join(places), "JUPYTERLAB_SETTINGS_DIR": str(folder / "s")}
    own |= {"JUPYTERLAB_WORKSPACES_DIR": str(folder / "w"), "IPYTHONDIR": str(folder / "i")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--port={port}", f"--notebook-dir={folder}", "--IdentityProvider.token=t"]
    command += ["--expose-app-in-browser"]
    with open(folder / "log", "w") as log:
        server = subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=log)
    yield folder, f"http://127.0.0.1:{port}/lab/tree/try.ipynb?token=t&reset"
    server.terminate()
    server.wait(60)


@pytest.fixture(scope="module")
def page(lab):
    """The notebook's page, all cells executed; ``alerts`` is what any script said."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page(viewport={"width": 1100, "height": 1000})
        page.set_default_timeout(60_000)
        page.alerts = []
        page.on("dialog", partial(heard, page))
        wait(lambda: answers(lab[1]))
        page.goto(lab[1])
        page.evaluate("alert('heard')")
        assert page.alerts.pop() == "heard"
        run_all(page)
        yield page
        browser.close()


def heard(page, dialog):
    """A page that is left asks whether it may be; anything else was said by a script."""
    if dialog.type == "beforeunload":
        dialog.accept()
    else:
        page.alerts.append(dialog.message)
        dialog.dismiss()


def wait(holds, seconds=180):
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)
    return found


def answers(address):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", int(address.split(":")[2].split("/")[0]))) == 0


def run_all(page):
    session = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
    page.wait_for_function(f"{session}?.connectionStatus === 'connected'")
    page.wait_for_function(f"{session}.status === 'idle'")
    # Without waiting for what the command promises: that would have no limit.
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    page.wait_for_selector(CARDS)


def dressed(page, theme):
    change = "t => window.jupyterapp.commands.execute('apputils:change-theme', {theme: t})"
    page.evaluate(change, f"JupyterLab {theme}")
    light = str(theme == "Light").lower()
    page.wait_for_selector(f"body[data-jp-theme-light={light}]", state="attached")


def shot(page, name):
    folder = paths.outputs() / "browser"
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png")


def rows(lab):
    file = lab[0] / "form.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def given(lab):
    return [row["answer"] for row in rows(lab) if row["event"] == "answer"]


def press(page, keys):
    page.get_by_placeholder("click here once").press_sequentially(keys, delay=50)


def test_keys_rate_and_every_answer_is_on_disk(lab, page):
    assert "Content warning" in page.inner_text(".jp-OutputArea") and not rows(lab)
    shot(page, "1-consent")
    press(page, "y")
    page.get_by_text("item-001, answer A").wait_for()
    assert [row["event"] for row in rows(lab)] == ["consent", "shown"]
    post = page.locator(".hsd-blur").first
    assert "blur" in post.evaluate("e => getComputedStyle(e).filter")
    assert 0 < post.bounding_box()["y"] < page.viewport_size["height"]  # in sight, unscrolled
    shot(page, "2-blurred")
    post.hover()
    assert post.evaluate("e => getComputedStyle(e).filter") == "none"
    shot(page, "3-hovered")
    for number, key in enumerate("123", 1):
        press(page, key)
        wait(lambda number=number: len(given(lab)) == number)
    assert given(lab) == ["yes", "partly", "no"]
    page.get_by_text("item-001, answer B").wait_for()


def test_a_reloaded_page_goes_on_where_it_was(lab, page):
    page.reload()
    run_all(page)
    page.get_by_text("item-001, answer B").wait_for()
    assert page.get_by_text(f"3 of {6 * len(ITEMS)} answers, all saved").count() == 1
    press(page, "1")
    wait(lambda: len(given(lab)) == 4)


def test_posts_with_scripts_do_nothing_and_the_file_is_read(lab, page):
    assert [i for i in ITEMS if "<script" in i["text"]] and [
        i for i in ITEMS if "<img" in i["text"]
    ]
    for number, item in enumerate(ITEMS, 1):
        page.get_by_text(f"{item['item']}, answer").wait_for()
        if "<script" in item["text"]:
            assert "<script>alert(1)</script>" in page.inner_text(".hsd-item")
            for theme in reversed(THEMES):
                dressed(page, theme)
                for part in page.locator(".hsd-item, .hsd-item mark").all():
                    assert part.evaluate(CONTRAST) >= 4.5
                shot(page, f"4-script-{theme.lower()}")
        assert not page.locator(".hsd-item script, .hsd-item img, .hsd-item b b").count()
        press(page, "0")
        wait(lambda number=number: len(given(lab)) >= 6 * number)
    page.get_by_text("All done").wait_for()
    found = read(lab[0] / "form.jsonl", ITEMS)
    rated = found.loc[:1, ["complete", "correct_own", "correct_gold"]].to_numpy().tolist()
    assert rated == [["yes", "partly", "no"], ["yes", "skip", "skip"]]
    assert page.alerts == []


@pytest.mark.parametrize("theme", THEMES)
def test_the_card_reads_in_both_themes_and_runs_nothing(page, theme):
    dressed(page, theme)
    whole, masked = page.locator(CARDS).all()
    whole.scroll_into_view_if_needed()
    assert whole.locator("mark").all_inner_texts() == ["Kind people", "more kind people"]
    assert "<script>alert(1)</script>" in whole.inner_text() and "$x^2$" in whole.inner_text()
    assert "people" not in masked.inner_text()
    for part in (whole.locator("p").first, whole.locator("mark").first, whole.locator("li").first):
        assert part.evaluate(CONTRAST) >= 4.5
    for element in page.locator(f"{CARDS} li").all():
        element.click()
    assert not page.locator(f"{CARDS} :is(script, img, b)").count() and page.alerts == []
    shot(page, f"5-card-{theme.lower()}")


def test_the_card_in_html_of_nbconvert(lab, page):
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    saved = lab[0] / "try.ipynb"
    wait(lambda: "mathjax_ignore" in saved.read_text())
    command = [sys.executable, "-m", "nbconvert", "--to", "html", str(saved)]
    subprocess.run(command, check=True, capture_output=True)
    page.goto(saved.with_suffix(".html").as_uri())
    card = page.locator("div.mathjax_ignore[style]").first
    card.scroll_into_view_if_needed()
    assert card.locator("mark").all_inner_texts() == ["Kind people", "more kind people"]
    assert card.locator("p").first.evaluate(CONTRAST) >= 4.5
    shot(page, "6-nbconvert")
    assert page.alerts == []
