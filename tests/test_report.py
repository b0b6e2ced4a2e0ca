"""The page: what it says is what the table holds, it is safe, whole, and the same every time."""

import base64
import io
import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest
import report_tables as planted
from PIL import Image
from report_page import Page

from depthprobe.report import findings, write_report
from depthprobe.report.maps import read_maps
from depthprobe.report.slider import payload

FAST = {"n_boot": 60}
SURE = {"n_boot": 2_000}  # the smallest p times the number of comparisons stays below 0.05


def report(tmp_path, table, resamples=FAST, **options):
    path = write_report(planted.write_run(tmp_path, table, **options), **resamples)
    return Page(path.read_text()), json.loads((tmp_path / "report.json").read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    return out, *report(out, planted.make_table(n=40), SURE, maps=2)


def small(**options):
    table = planted.make_table(n=8, **options)
    return table[
        table["factor"].isin(["", "random", "texture"]) & (table["level"].isin([0.05, 0.2, 1]) | table["level"].isna())
    ]


def frame(data, name, **where):
    found = pd.DataFrame(data["frames"][name]).replace({None: np.nan})
    for column, value in where.items():
        found = found[found[column] == value]
    return found


def finding(data, start):
    return next(f for f in data["findings"] if f["lead"].startswith(start))


# What it says


def test_means_are_those_of_the_table(whole):
    _, page, data = whole
    rows = planted.make_table(n=40).query("probe == 'error' and metric == 'abs_rel'")
    for model in planted.MODELS:
        want = np.mean([v for m, v in zip(rows["model"], rows["value"], strict=True) if m == model])
        got = frame(data, "accuracy", model=model, metric="abs_rel")
        assert got["estimate"].item() == pytest.approx(want, rel=1e-9)
        assert f"{want:.3f} [" in page.text


def test_areas_are_the_trapezoid_over_log_budget(whole):
    _, _, data = whole
    table = planted.make_table(n=40)
    rows = table[(table["metric"] == "abs_rel") & (table["factor"] == "texture") & (table["factor2"] == "mean")]
    mean = rows[rows["model"] == "zoo:pvt"].groupby("level")["value"].mean()
    x = np.log(mean.index.to_numpy())
    want = sum((x[i + 1] - x[i]) * (mean.iloc[i] + mean.iloc[i + 1]) / 2 for i in range(len(x) - 1)) / (x[-1] - x[0])
    got = frame(data, "sparse_budgets", model="zoo:pvt", factor="texture", factor2="mean", quantity="auc")
    assert got["estimate"].item() == pytest.approx(want, rel=1e-9)


def test_planted_verdicts_are_found(whole):
    _, _, data = whole
    assert "pvt is better than convnext" in finding(data, "How accurate")["text"]
    which = finding(data, "Which pixels")["text"]
    assert "texture" in which.split("beat")[0]
    assert re.search(r"beat random pixels, undecided are [\w ,]*image edges", which)
    said = finding(data, "pvt against convnext")["text"]
    assert "pvt has the smaller error than convnext in 6, the larger in 0, undecided in 0" in said
    assert "pvt loses less in 6 (" in said
    assert re.search(r"on depth edges, texture pixels lie (3\.0|2\.9)", finding(data, "Where the kept")["text"])


def test_who_is_better_need_not_lose_less(tmp_path):
    """The second network is better by a constant at every budget: a smaller error, the same loss."""
    one = planted.make_table(models={"zoo:convnext": "cnn"}, n=24)
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 0.01, len(one))
    shift = np.where(one["metric"] == "abs_rel", -0.1, 0)
    two = one.assign(model="zoo:pvt", family="transformer", value=one["value"] + shift + noise)
    _, data = report(tmp_path, pd.concat([one, two]), SURE, maps=0)
    said = finding(data, "pvt against convnext")["text"]
    assert "smaller error than convnext in 6" in said
    assert "loses less in 0, more in 0, undecided in 6" in said
    assert set(frame(data, "sparse_areas_self")["verdict"]) == {"undecided"}


def test_headlines_leave_out_selectors_that_were_given_the_truth(whole, tmp_path):
    _, _, open_data = whole
    assert "(texture, the best of 6 selectors)" in finding(open_data, "From how few")["text"]
    side = planted.make_sidecar() | {"selectors_given_truth": ["texture"]}
    _, data = report(tmp_path, planted.make_table(n=12), sidecar=side, maps=0)
    few = finding(data, "From how few")["text"]
    assert "texture" not in few
    assert "the best of 4 selectors" in few
    assert "picked after looking" in few
    assert "texture" not in finding(data, "Where the kept")["text"]
    assert "texture (chosen from the ground truth)" in finding(data, "Which pixels")["text"]


def test_random_stands_beside_the_best(whole):
    _, _, data = whole
    few = finding(data, "From how few")["text"]
    assert few.count("(random, the control)") == 2
    assert "not record" not in few


def test_a_run_that_does_not_record_the_truth_says_so(tmp_path):
    side = {k: v for k, v in planted.make_sidecar().items() if k != "selectors_given_truth"}
    _, data = report(tmp_path, small(), sidecar=side, maps=0)
    assert "does not record which selectors were given the ground truth" in finding(data, "From how few")["text"]


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((1.8, 1.5, 2.2), "1.80 times [1.50, 2.20]"),
        ((1.8, np.nan, np.nan), "1.80 times [no interval]"),
        ((1.8, 1.5, np.inf), "1.80 times [1.50, unbounded]"),
    ],
)
def test_ratios_in_words(numbers, said):
    assert findings.times(*numbers) == said


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((0.05, 0.02, 0.1), "5 % [2 %, 10 %]"),
        ((0.05, 0.02, np.inf), "5 % [2 %, not reached]"),
        ((0.05, np.nan, np.nan), "5 % [no interval]"),
        ((np.nan, np.nan, np.nan), "no measured budget"),
        ((0.01, 0.01, 0.02), "at most 1 % [1 %, 2 %]"),
    ],
)
def test_budgets_in_words(numbers, said):
    assert findings.budget(*numbers, 0.01).replace("\N{NO-BREAK SPACE}", " ") == said


def test_a_metric_is_judged_within_its_own_family(whole):
    """With two networks every metric holds one comparison, so Holm changes no p value."""
    _, _, data = whole
    gaps = frame(data, "accuracy_differences")
    assert len(gaps) == 2
    assert gaps["p_holm"].tolist() == gaps["p"].tolist()


def test_a_difference_that_is_noise_is_called_undecided(tmp_path):
    table = planted.make_table(models={"zoo:convnext": "cnn"}, sparse=False, n=24)
    rng = np.random.default_rng(1)
    twin = table.assign(model="zoo:twin", value=table["value"] + rng.normal(0, 0.01, len(table)))
    page, data = report(tmp_path, pd.concat([table, twin]), SURE, maps=0)
    assert finding(data, "How accurate")["undecided"]
    assert "is undecided: paired difference" in page.text


def test_single_networks_are_no_families_and_fills_are_warned_about(whole, tmp_path):
    _, _, data = whole
    assert any("proves nothing about their families" in w for w in data["warnings"])
    table = small()
    one = table[table["factor2"] != "blur"]
    assert any("Only one fill (mean)" in w for w in report(tmp_path, one, maps=0)[1]["warnings"])


def test_untrained_networks_are_named(tmp_path):
    table = small(sparse=False).assign(tag="random")
    assert any("random weights, never trained" in w for w in report(tmp_path, table, maps=0)[1]["warnings"])


def test_undefined_values_and_skipped_samples_are_counted(tmp_path):
    table = planted.make_table(sparse=False)
    table.loc[table.index[:3], "value"] = np.nan
    side = planted.make_sidecar() | {"skipped": {"rooms-9": "image is truncated"}}
    _, data = report(tmp_path, table, sidecar=side, maps=0)
    said = " ".join(data["warnings"])
    assert "3 of 64 measurements" in said
    assert "3 of error abs_rel" in said
    assert "1 sample could not be read and was left out, e.g. rooms-9: image is truncated" in said


# What is missing is said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t[t["probe"] == "error"], ["no `sparse` probe", "This run kept no dense maps"]),
        (lambda t: t[(t["probe"] == "error") | (t["level"] == 1)], ["no error at several budgets"]),
        (
            lambda t: t[(t["probe"] == "sparse") & (t["model"] == "zoo:pvt") & (t["metric"] == "abs_rel")
                        & (t["factor"] == "texture")],
            ["no `error` probe", "Only one network was measured", "self-consistency is not known",
             "Shares of the kept pixels were not measured", "The random control was not measured"],
        ),
    ],
)  # fmt: skip
def test_gaps_are_said(tmp_path, change, said):
    page, _ = report(tmp_path, change(small()), maps=0)
    assert [sentence for sentence in said if sentence not in page.text] == []
    assert page.wrong == []


def test_without_sidecar_and_study(tmp_path):
    planted.write_run(tmp_path, small(), maps=0)
    (tmp_path / "table.json").unlink()
    (tmp_path / "study.toml").unlink()
    page = Page(write_report(tmp_path, **FAST).read_text())
    assert "table.json is missing" in page.text
    assert "not recorded" in page.text
    assert "the command to repeat it is unknown" in page.text


def test_no_table_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="depthprobe run --out"):
        write_report(tmp_path)


def test_broken_maps_are_counted(tmp_path):
    planted.write_run(tmp_path, small(), maps=1)
    first = sorted((tmp_path / "maps").glob("*.npz"))[0]
    first.write_bytes(first.read_bytes()[:100])
    page = Page(write_report(tmp_path, **FAST).read_text())
    assert f"1 stored map could not be read: {first.name}" in page.text


def test_several_weights_of_one_name_are_kept_apart(tmp_path):
    table = planted.make_table(models={"zoo:pvt": "transformer"}, sparse=False)
    other = table.assign(tag="second", value=table["value"] + 0.1)
    _, data = report(tmp_path, pd.concat([table, other]), maps=0)
    assert set(frame(data, "accuracy")["model"]) == {"zoo:pvt.planted", "zoo:pvt.second"}


def test_several_plans_are_kept_apart(tmp_path):
    table = small()
    other = table.assign(plan=table["plan"] + "b", value=table["value"] * 2)
    page, data = report(tmp_path, pd.concat([table, other]), maps=0)
    assert {"sparse_curves_5a5a5a5a", "sparse_curves_5a5a5a5ab"} <= set(data["frames"])
    assert len([f for f in data["findings"] if f["lead"].startswith("How accurate")]) == 2
    assert page.wrong == []


# Safe, whole, the same every time


def test_names_cannot_inject(tmp_path):
    evil = "<script>alert(1)</script>"
    sample = '"><img src=x onerror=alert(2)>'
    table = small(models={evil: "cnn", "zoo:pvt": "transformer"})
    table["sample"] = table["sample"].replace("rooms-11000000", sample)
    clean = table.assign(sample=table["sample"].replace(sample, "rooms-11000000"))
    planted.write_run(tmp_path, clean, maps=1)
    for number, part in enumerate(table.groupby("model")):
        planted.write_part(part[1], tmp_path / "parts" / f"{number:03d}.parquet")
    path = write_report(tmp_path, title="</title><script>alert(3)</script>", **FAST)
    source, page = path.read_text(), Page(path.read_text())
    assert "<script>alert" not in source
    assert evil in page.text
    assert len(page.all("script")) == 2
    assert not [a for _, a in page.tags if any(k.startswith("on") for k in a)]
    assert page.wrong == []


def test_the_page_loads_nothing(whole):
    out, page, _ = whole
    links = [a[k] for _, a in page.tags for k in ("src", "href", "data", "action") if a.get(k)]
    assert links
    assert [link[:60] for link in links if not link.startswith(("data:", "#"))] == []
    assert not re.findall(r"url\((?!#)", (out / "report.html").read_text())
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'")


def test_it_is_well_formed_and_small(whole):
    out, page, _ = whole
    assert page.wrong == []
    assert page.open == []
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert (out / "report.html").stat().st_size < 10_000_000


def test_it_is_the_same_twice(whole):
    out, _, _ = whole
    first = (out / "report.html").read_bytes(), (out / "report.json").read_bytes()
    write_report(out, **SURE)
    assert first == ((out / "report.html").read_bytes(), (out / "report.json").read_bytes())


def test_everything_can_be_read_aloud(whole):
    _, page, _ = whole
    assert all("alt" in a for a in page.all("img"))
    assert all(a.get("aria-hidden") or (a.get("role") == "img" and a.get("aria-label")) for a in page.all("svg"))
    assert all(a.get("scope") for a in page.all("th"))
    sortable = [a for a in page.all("th") if "aria-sort" in a]
    assert len(sortable) >= 10
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-4]", tag)]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    assert [a.get("lang") for a in page.all("html")] == ["en"]


def luminance(colour):
    part = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in part]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_reach_wcag_aa(whole, theme):
    source = (whole[0] / "report.html").read_text()
    colour = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", source.split(":root {")[1 + theme].split("}")[0]))

    def contrast(a, b):
        high, low = sorted((luminance(colour[a]), luminance(colour[b])), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for back in ("paper", "soft", "warn-back"):
        for front in ("ink", "muted", "accent"):
            assert contrast(front, back) >= 4.5, (front, back)
    for family in ("cnn", "transformer", "hybrid", "oracle"):
        assert contrast(family, "paper") >= 3, family


def test_tables_carry_their_frame_as_csv(whole):
    _, page, data = whole
    links = {a["download"]: a["href"] for a in page.all("a") if "download" in a}
    body = base64.b64decode(links["areas.csv"].partition("base64,")[2]).decode()
    read, want = pd.read_csv(io.StringIO(body)), frame(data, "sparse_areas")
    pd.testing.assert_frame_equal(read[list(want)].astype({"unit": str}), want, check_dtype=False)


# Slider


def test_the_slider_gives_way_where_the_page_would_be_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr("depthprobe.report.page.MAX_BYTES", 1000)
    page, _ = report(tmp_path, small(), maps=1)
    assert "the page would be larger than 10 MB" in page.text
    assert "application/json" not in [a.get("type") for a in page.all("script")]


def test_one_mask_picture_holds_the_nested_masks_of_every_budget(whole):
    maps, broken = read_maps(whole[0])
    data = payload(maps, "abs_rel")
    assert broken == []
    assert data["budgets"] == list(planted.BUDGETS)
    for m in maps[:30]:
        uri = data["pictures"][data["masks"]["|".join((m.sample, m.model, m.factor))]]
        level = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2]))))
        np.testing.assert_array_equal(level <= data["budgets"].index(m.level), m.arrays["keep"])


def test_frames_hold_the_metric_of_their_map(whole):
    maps, _ = read_maps(whole[0])
    data = payload(maps, "abs_rel")
    for m in maps:
        key = "|".join((m.sample, m.model, m.factor, m.factor2, str(data["budgets"].index(m.level))))
        assert data["frames"][key][2] == m.metrics["abs_rel"]


def test_samples_are_left_out_before_the_page_grows_too_large(whole, monkeypatch):
    monkeypatch.setattr("depthprobe.report.slider.MAX_BYTES", 10)
    data = payload(read_maps(whole[0])[0], "abs_rel")
    assert (len(data["samples"]), data["stored"]) == (1, 2)
