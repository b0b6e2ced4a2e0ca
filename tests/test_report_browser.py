"""The page in a real browser: fits a phone, sorts, slides, answers the keyboard, asks the network for nothing.

System Chromium, driven by Playwright; both are looked for, and without one of them the tests are skipped.
"""

import json
import re
import shutil
from types import SimpleNamespace

import pytest
import report_audits as audits
import report_tables as planted

from depthprobe.report import write_report

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found; apt-get install chromium"),
]
api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed; pip install playwright")
LOW = 4.5 - 1e-6  # WCAG 2.1 AA for text
CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const linear = (c) => { const v = c / 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const over = (top, under) => top.slice(0, 3).map((c, i) => c * top[3] + under[i] * (1 - top[3]));
  const full = (text) => { const c = parse(text); return c.length === 4 ? c : [...c, c.length ? 1 : 0]; };
  const back = (node) => {
    const layers = [];
    for (let e = node; e; e = e.parentElement) layers.push(full(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const found = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement, style = getComputedStyle(node);
    if (!walker.currentNode.data.trim() || !node.getClientRects().length || style.visibility === "hidden") continue;
    if (node.closest("script, style, .skip, option")) continue;
    const svg = node.closest("svg") !== null, under = back(node);
    const ink = over(full(svg ? style.fill : style.color), under);
    const [high, low] = [light(ink), light(under)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05), size = `${node.tagName}.${node.getAttribute("class") || ""}`;
    const worse = !found.has(size) || found.get(size)[0] > ratio;
    if (worse) found.set(size, [ratio, walker.currentNode.data.trim().slice(0, 40)]);
  }
  return [...found].map(([where, [ratio, text]]) => ({ where, ratio, text }));
}"""
WIDE = """() => [...document.querySelectorAll("body *")]
  .filter((e) => !e.closest(".box, details:not([open]), svg, .skip")
  && e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 80))"""
KEPT = """(box) => {
  const canvas = box.querySelector("canvas"), copy = document.createElement("canvas");
  const read = (c) => c.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  [copy.width, copy.height] = [canvas.width, canvas.height];
  copy.getContext("2d").drawImage(box.querySelector("[data-part=image]"), 0, 0);
  const data = read(canvas), want = read(copy);
  let same = 0;
  for (let p = 0; p < data.length; p += 4) same += [0, 1, 2].every((c) => data[p + c] === want[p + c]);
  return same / (data.length / 4);
}"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A report of two networks, and an audit."""
    report, audit = (tmp_path_factory.mktemp(name) for name in ("report", "audit"))
    planted.write_run(report, planted.make_table(n=8), maps=1)
    audits.write_audit(audit, n=8, maps=1)
    return {"report": write_report(report, n_boot=60), "audit": write_report(audit, n_boot=60)}


@pytest.fixture(scope="module")
def browser():
    with api.sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield started
        started.close()


@pytest.fixture
def visit(browser, pages):
    """Open one of the pages: `visit("audit", width=360)`; what it says on the console and asks for is kept."""
    contexts = []

    def open_page(name="report", *, width=1000, height=900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        seen = SimpleNamespace(page=page, errors=[], asked=[])
        page.on("console", lambda m: seen.errors.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: seen.errors.append(str(e)))
        page.route("**/*", lambda route: (seen.asked.append(route.request.url), route.abort())
                   if not route.request.url.startswith(("file:", "data:")) else route.continue_())  # fmt: skip
        page.goto(pages[name].as_uri(), wait_until="load")
        return seen

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", ["report", "audit"])
def test_nothing_goes_wrong_and_nothing_is_asked_for(visit, name):
    seen = visit(name)
    loaded = seen.page.evaluate("performance.getEntriesByType('resource').map((e) => e.name)")
    assert [one for one in loaded if not one.startswith("data:")] == []
    assert (seen.errors, seen.asked) == ([], [])


@pytest.mark.parametrize("name", ["report", "audit"])
def test_it_fits_a_phone(visit, name):
    page = visit(name, width=360).page
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate(WIDE) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["report", "audit"])
def test_all_text_reaches_aa(visit, name, theme):
    page = visit(name, color_scheme=theme).page
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    found = page.evaluate(CONTRAST)
    assert len(found) > 15
    assert [one for one in found if one["ratio"] < LOW] == []


def test_a_header_sorts_by_value(visit):
    page = visit().page
    table = page.locator("table.data").filter(has=page.locator("tbody tr:nth-child(5)")).first
    head = table.locator("thead th.number").first
    column = head.evaluate("(h) => h.cellIndex")

    def values():
        return table.evaluate(f"(t) => [...t.tBodies[0].rows].map((r) => Number(r.cells[{column}].dataset.key))")

    head.locator("button").press("Enter")
    up = values()
    assert head.get_attribute("aria-sort") == "ascending"
    assert up == sorted(up)
    head.locator("button").click()
    assert values() == sorted(up, reverse=True)


def test_a_table_is_copied_as_it_is_sorted(visit):
    seen = visit(permissions=["clipboard-read", "clipboard-write"])
    seen.page.locator("button.copy").first.click()
    seen.page.get_by_text("Copied").wait_for()
    assert "zoo:convnext" in seen.page.evaluate("navigator.clipboard.readText()")
    assert seen.errors == []


@pytest.mark.parametrize("name", ["report", "audit"])
def test_the_slider_follows_the_keyboard(visit, name):
    page = visit(name).page
    box, bar = page.locator(".slider").first, page.locator(".slider input[type=range]").first
    bar.focus()
    page.keyboard.press("Home")
    kept = []
    for step in range(len(planted.BUDGETS)):
        if step:
            page.keyboard.press("ArrowRight")
        page.wait_for_timeout(120)
        kept.append(box.evaluate(KEPT))
    assert kept == pytest.approx(list(planted.BUDGETS), abs=0.06)
    assert bar.get_attribute("aria-valuetext") == "100 % of the pixels"
    assert box.locator("[role=status]").inner_text().startswith("100 % of the pixels by random")


def test_controls_are_announced_by_name(visit):
    page = visit("audit").page
    for role, name in [("slider", "Budget"), ("combobox", "Sample"), ("combobox", "Selector"), ("combobox", "Fill")]:
        assert page.get_by_role(role, name=name).count() == 1, name


def test_the_slider_follows_the_mouse(visit):
    page = visit().page
    bar = page.locator(".slider input[type=range]").first
    bar.scroll_into_view_if_needed()
    at = bar.bounding_box()
    page.mouse.click(at["x"] + 3, at["y"] + at["height"] / 2)
    assert bar.input_value() == "0"
    page.mouse.click(at["x"] + at["width"] - 3, at["y"] + at["height"] / 2)
    assert bar.input_value() == str(len(planted.BUDGETS) - 1)


def test_a_setting_without_pictures_shows_none(visit, pages, tmp_path):
    """The pictures of the last setting must not stand below "not stored for this setting"."""
    text = pages["report"].read_text()
    found = re.search(r'<script type="application/json">(.*?)</script>', text)
    data = json.loads(found[1])
    gone = f"{data['samples'][0]['id']}|{data['models'][0]}|{data['selectors'][0]}|{data['fills'][0]}|0"
    assert data["frames"].pop(gone)
    hole = tmp_path / "report.html"
    hole.write_text(text.replace(found[1], json.dumps(data)))
    page = visit("report").page
    page.goto(hole.as_uri())
    strips, bar = page.locator(".slider").first.locator(".strip.three"), page.locator(".slider input[type=range]").first
    strips.first.wait_for()
    assert strips.nth(0).is_visible()
    bar.focus()
    page.keyboard.press("Home")
    page.get_by_text("not stored for this setting").first.wait_for()
    assert strips.nth(0).is_hidden()
    assert strips.nth(1).is_visible()


SLOW = """(() => {
  const Real = window.Image, started = [];
  window.Image = function () {
    const image = new Real();
    started.push(image);
    const slow = started.length === 2;  // the mask of the first sample
    const later = (f) => image.addEventListener("load", () => setTimeout(f, slow ? 900 : 0));
    Object.defineProperty(image, "onload", { set: later });
    return image;
  };
})()"""


def test_a_slow_picture_is_not_drawn_over_a_later_choice(visit, tmp_path):
    planted.write_run(tmp_path, planted.make_table(n=4, models={"zoo:pvt": "transformer"}), maps=2)
    page = visit().page
    page.add_init_script(SLOW)
    page.goto(write_report(tmp_path, n_boot=60).as_uri())
    box = page.locator(".slider").first
    box.locator("[data-control=sample]").select_option(index=1)
    page.wait_for_timeout(300)
    drawn = "(box) => box.querySelector('canvas').toDataURL()"
    chosen = box.evaluate(drawn)
    page.wait_for_timeout(1000)
    assert box.evaluate(drawn) == chosen
    box.locator("[data-control=sample]").select_option(index=0)
    page.wait_for_timeout(300)
    assert box.evaluate(drawn) != chosen


def test_the_curve_names_every_line_below_it(visit):
    page = visit("audit", width=360).page
    names = page.locator(".slider [data-part=names] span")
    assert names.count() == len(audits.FAMILIES)
    assert names.all_inner_texts().count("mine:net") == 1
    assert [one for one in names.all() if one.bounding_box()["x"] + one.bounding_box()["width"] > 360] == []
    assert page.locator(".slider [data-part=names] .subject").inner_text() == "mine:net"


def test_points_tell_their_values(visit):
    page = visit("audit").page
    figure, tip = page.locator("svg.forest").first, page.locator(".tip")
    figure.scroll_into_view_if_needed()
    page.keyboard.press("Tab")  # so that focus counts as the keyboard's
    figure.focus()
    first = tip.inner_text()
    page.keyboard.press("ArrowDown")
    second = tip.inner_text()
    assert first != second
    assert "[" in first and "n = 8 in 4 groups" in first
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    figure.locator("[data-tip]").nth(1).locator(".dot").hover()
    assert tip.inner_text() == second


def test_the_first_key_skips_to_the_findings(visit):
    page = visit("audit").page
    page.keyboard.press("Tab")
    link = page.locator(":focus")
    assert link.inner_text() == "Skip to the findings"
    assert link.bounding_box()["x"] >= 0
    assert link.evaluate("(e) => getComputedStyle(e).outlineStyle") != "none"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"


SHEET = 703  # pixels across an A4 sheet between its margins
HEADS = """() => [...document.querySelectorAll("h2, h3")].filter((h) => h.getClientRects().length).filter((h) => {
    let next = h.nextElementSibling;
    while (next && !next.getClientRects().length) next = next.nextElementSibling;
    return !next || (/^H[1-6]$/.test(next.tagName) && next.tagName <= h.tagName);
  }).map((h) => h.textContent)"""


@pytest.mark.parametrize("name", ["report", "audit"])
def test_it_prints(visit, name):
    page = visit(name, color_scheme="dark", width=SHEET).page
    page.emulate_media(media="print")
    assert page.locator(".slider").first.is_hidden()
    assert page.locator("nav").is_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert [one for one in page.evaluate(CONTRAST) if one["ratio"] < LOW] == []
    assert page.pdf(format="A4")[:5] == b"%PDF-"


@pytest.mark.parametrize("name", ["report", "audit"])
def test_every_table_fits_the_sheet_and_no_heading_stands_over_nothing(visit, name):
    page = visit(name, width=SHEET).page
    page.emulate_media(media="print")
    assert page.evaluate(HEADS) == []
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    wide = f"(t) => t.filter((e) => e.getBoundingClientRect().right > {SHEET + 1}).map((e) => e.ariaLabel)"
    assert page.locator("table").count() > 8
    assert page.locator("table").evaluate_all(wide) == []


def test_what_is_folded_stays_folded_on_paper_and_says_so(visit):
    page = visit("audit").page
    short, shut = page.pdf(format="A4"), page.locator("details:not([open])").count()
    assert shut > 5
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.pdf(format="A4").count(b"/Type /Page\n") > short.count(b"/Type /Page\n") + 3
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = false; })")
    page.emulate_media(media="print")
    said = page.locator("summary").first.evaluate("(s) => getComputedStyle(s, '::after').content")
    assert "folded" in said
