"""The page in a real browser: fits a phone, sorts, slides, asks the network for nothing. Needs Chromium only.

The page is copied with one script added that tries everything and posts what it saw to a wrapper, in whose frame it is
360 px wide; `--dump-dom` prints the wrapper.
"""

import json
import re
import shutil
import subprocess

import pytest
import report_tables as planted

from depthprobe.report import write_report

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found; apt-get install chromium"),
]
PROBE = """<script>
addEventListener("load", async () => {
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const seen = { errors: window.seenErrors, width: innerWidth, body: document.documentElement.scrollWidth };
  seen.wide = [...document.querySelectorAll("main *")].filter((e) => !e.closest(".box, details:not([open]), svg")
    && e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 80));
  const table = [...document.querySelectorAll("table.data")].find((t) => t.tBodies[0].rows.length > 4);
  const head = [...table.tHead.rows[0].cells].find((h) => h.classList.contains("number"));
  const column = () => [...table.tBodies[0].rows].map((r) => Number(r.cells[head.cellIndex].dataset.key));
  head.querySelector("button").click();
  seen.up = column(); seen.sort = head.getAttribute("aria-sort");
  head.querySelector("button").click();
  seen.down = column();
  const box = document.querySelector(".slider"), range = box.querySelector("[type=range]");
  seen.shown = !box.hidden;
  seen.kept = [];
  for (let i = 0; i <= Number(range.max); i += 1) {
    range.value = i;
    range.dispatchEvent(new Event("input"));
    await wait(150);
    const canvas = box.querySelector("canvas"), copy = document.createElement("canvas");
    const read = (c) => c.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    copy.width = canvas.width;
    copy.height = canvas.height;
    copy.getContext("2d").drawImage(box.querySelector("[data-part=image]"), 0, 0);
    const data = read(canvas), want = read(copy);
    let same = 0;
    for (let p = 0; p < data.length; p += 4) same += [0, 1, 2].every((c) => data[p + c] === want[p + c]);
    seen.kept.push(same / (data.length / 4));
  }
  seen.status = box.querySelector("[role=status]").textContent;
  const loaded = performance.getEntriesByType("resource").map((e) => e.name);
  seen.loaded = loaded.filter((name) => !name.startsWith("data:"));
  parent.postMessage(JSON.stringify(seen), "*");
});
</script>"""
WATCH = "<script>window.seenErrors = []; addEventListener('error', (e) => window.seenErrors.push(e.message));</script>"
WRAPPER = """<!doctype html>
<iframe src="page.html" width="360" height="900" style="border:0"></iframe><pre id="seen"></pre>
<script>addEventListener("message", (e) => { document.getElementById("seen").textContent = e.data; });</script>"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    out = tmp_path_factory.mktemp("browser")
    source = write_report(planted.write_run(out, planted.make_table(n=8), maps=1), n_boot=60).read_text()
    page = source.replace("<title>", WATCH + "<title>", 1).replace("</body>", PROBE + "</body>", 1)
    (out / "page.html").write_text(page)
    (out / "wrapper.html").write_text(WRAPPER)
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        f"--user-data-dir={out / 'profile'}", "--window-size=1000,1000", "--virtual-time-budget=30000", "--dump-dom",
        f"file://{out / 'wrapper.html'}",
    ]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    found = re.search(r'<pre id="seen">(.+?)</pre>', dom, re.S)
    assert found, "the page's scripts did not finish"
    text = found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return json.loads(text)


def test_nothing_goes_wrong_and_nothing_is_loaded(seen):
    assert seen["errors"] == []
    assert seen["loaded"] == []


def test_it_fits_a_phone(seen):
    assert seen["width"] == 360
    assert seen["body"] <= 360
    assert seen["wide"] == []


def test_a_header_sorts_by_value(seen):
    assert seen["sort"] == "ascending"
    assert seen["up"] == sorted(seen["up"])
    assert seen["down"] == sorted(seen["up"], reverse=True)


def test_the_slider_shows_the_budget(seen):
    assert seen["shown"]
    assert seen["kept"] == pytest.approx(list(planted.BUDGETS), abs=0.06)
    assert seen["status"].startswith("100 % of the pixels by random")
