"""The site builds without a warning and without the network, and reads well in a real browser, from files alone."""

import contextlib
import io
import json
import logging
import re
import shutil

import docs_blocks as docs
import pytest

build = pytest.importorskip("mkdocs.commands.build", reason="mkdocs builds it; pip install 'depthprobe[docs]'")
CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
SLOWLY = 240_000  # milliseconds for one page on a busy machine: what is asked is not how fast it loads
PAGES = ("index", "methods/transport", "reference/metrics", "reference/cli", "studies/05_context", "faq")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, built as `make docs` builds it: a warning of mkdocs ends the build."""
    from mkdocs.config import load_config

    place = tmp_path_factory.mktemp("site")
    config = load_config(str(docs.ROOT / "mkdocs.yml"), strict=True, site_dir=str(place))
    noise, level = logging.getLogger("mkdocs"), logging.getLogger("mkdocs").level
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            build.build(config)
    finally:
        noise.setLevel(level)
    return place


@pytest.mark.slow
def test_the_site_is_whole(site):
    pages = {str(path.relative_to(site)): path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    assert {name.replace(".md", ".html") for name in map(docs.name_of, docs.PAGES)} <= set(pages)
    notebooks = {path.stem for path in (docs.ROOT / "notebooks").glob("*.ipynb")}
    assert {f"studies/{stem}.html" for stem in notebooks} <= set(pages)
    assert not [name for name, text in pages.items() if "arithmatex" in text or re.search(r"\{\{ \w+", text)]
    assert sum(text.count("<math") for text in pages.values()) > 100
    shown = {found for text in pages.values() for found in re.findall(r'src="figures/(a\d\d\w*)\.png"', text)}
    assert shown == {path.stem for path in (docs.ROOT / "figures").glob("*.png")}
    assert (site / "studies/figures/a01_compare.csv").is_file()


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(site):
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe|source)[^>]*\ssrc="?([^\s">]+)', text)
        loaded += re.findall(r'<link[^>]*rel="?stylesheet[^>]*href="?([^\s">]+)', text)
        assert [place for place in loaded if re.match(r"(https?:)?//", place)] == []


@pytest.mark.slow
def test_the_search_knows_the_names(site):
    index = json.loads((site / "search/search_index.json").read_text())
    assert {"methods/transport.html", "faq.html"} <= {entry["location"] for entry in index["docs"]}


@pytest.fixture(scope="module")
def browser():
    """Chromium."""
    driver = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with driver.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        context = opened.new_context()
        context.set_default_timeout(SLOWLY)
        yield context
        opened.close()


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found; apt-get install chromium")
@pytest.mark.parametrize("width", [360, 1400])
def test_pages_fit_say_no_error_and_load_files_alone(site, browser, width):
    page = browser.new_page()
    page.set_viewport_size({"width": width, "height": 900})
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    for name in PAGES:
        page.goto(f"file://{site}/{name}.html")
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert errors == []
    page.close()


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found; apt-get install chromium")
def test_the_search_answers_without_a_server(site, browser):
    page = browser.new_page()
    page.set_viewport_size({"width": 1400, "height": 900})
    page.goto(f"file://{site}/index.html")
    page.click("input[name=query]")
    page.type("input[name=query]", "sinkhorn")
    page.wait_for_selector(".md-search-result__item a")
    found = page.eval_on_selector_all(".md-search-result__item a", "links => links.map(a => a.getAttribute('href'))")
    assert any("transport" in place for place in found)
    page.close()
