import hashlib

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from stats_tables import sparse_table

from depthprobe import plots, stats
from depthprobe.plots import curves, gallery, words
from depthprobe.plots.theme import FAMILY_COLOURS, display_name

AXES = {"sparse": {"factor": "selector", "level": "budget", "factor2": "fill"}}


@pytest.fixture(scope="module")
def table():
    return sparse_table(models=("convnext", "regnet", "pvt", "row"), scenes=10)


@pytest.fixture(scope="module")
def points(table):
    return stats.curve(table, ["model", "family", "factor", "metric"], n_boot=100).points


@pytest.fixture(scope="module")
def compared(table):
    return stats.compare(stats.area(table), ["factor", "metric"], a="convnext", n_boot=100)


def texts(figure):
    """The texts drawn: matplotlib also keeps labels of ticks beyond the limits, which it does not draw."""
    beyond = set()
    for ax in figure.axes:
        for axis, (low, high) in ((ax.xaxis, sorted(ax.get_xlim())), (ax.yaxis, sorted(ax.get_ylim()))):
            beyond |= {
                t
                for tick in axis.get_major_ticks()
                if not low <= tick.get_loc() <= high
                for t in (tick.label1, tick.label2)
            }
    return [t for t in figure.findobj(mpl.text.Text) if t.get_visible() and t.get_text().strip() and t not in beyond]


def overlaps(figure):
    """Pairs of texts whose boxes share more than a hair."""
    figure.draw_without_rendering()
    boxes = [(t.get_text(), mpl.text.Text.get_window_extent(t)) for t in texts(figure)]
    found = []
    for i, (one, a) in enumerate(boxes):
        for other, b in boxes[i + 1 :]:
            width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
            if width > 1 and height > 1.5 and a.width and b.width:
                found.append((one, other))
    return found


def test_lines_are_the_rows_of_the_frame(points):
    part = points[points["factor"] == "grid"]
    ax = plots.draw_curves(part.sample(frac=1, random_state=0), axes=AXES)
    drawn = {line.get_label(): line.get_xydata() for line in ax.get_lines()}
    assert set(drawn) == {"convnext", "regnet", "pvt", "row"}
    for model, xy in drawn.items():
        want = part[part["model"] == model].sort_values("level")
        assert np.array_equal(xy, want[["level", "estimate"]].to_numpy())
    band = ax.collections[0].get_paths()[0].vertices
    first = part[part["model"] == "convnext"]
    assert {band[:, 1].min(), band[:, 1].max()} <= {*first["band_low"], *first["band_high"]}
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "budget (% of pixels kept)"
    assert ax.get_ylabel().replace("\n", " ") == "abs_rel (1), lower is better"
    assert {"convnext", "regnet", "pvt", "row"} <= {t.get_text() for t in ax.texts}


def test_a_drawing_averages_nothing(points, compared):
    with pytest.raises(ValueError, match="factor"):
        plots.draw_curves(points)
    with pytest.raises(ValueError, match="one row"):
        plots.draw_forest(compared, rows=["factor"])
    with pytest.raises(ValueError, match="empty"):
        plots.draw_curves(points[:0])


def test_families_have_a_hue_and_models_a_marker_and_dashes(points):
    found = plots.styles(
        ["convnext", "regnet", "pvt", "row"], dict(zip(points["model"], points["family"], strict=True))
    )
    assert found["convnext"]["color"] == found["regnet"]["color"] == FAMILY_COLOURS["cnn"]
    assert found["pvt"]["color"] == FAMILY_COLOURS["transformer"]
    assert found["row"]["color"] == FAMILY_COLOURS["oracle"]
    assert len({(s["marker"], str(s["linestyle"])) for s in found.values()}) == 4  # told apart without colour
    assert len({s["marker"] for s in plots.styles(list("abcdefg")).values()}) == 7


def test_the_theme_leaves_no_trace(points):
    before = dict(mpl.rcParams)
    plots.draw_curves(points[points["factor"] == "grid"])
    assert dict(mpl.rcParams) == before


def test_forest_marks_are_the_rows(compared):
    frame = compared.assign(verdict=["undecided", *compared["verdict"][1:]])
    ax = plots.draw_forest(frame, rows=["factor"], hue="b", families={"pvt": "transformer", "regnet": "cnn"})
    marks = [line for line in ax.get_lines() if line.get_linestyle() == "None"]
    spans = [line for line in ax.get_lines() if len(line.get_xdata()) == 2 and line.get_xdata()[0] != 0]
    assert [m.get_xdata()[0] for m in marks] == frame["estimate"].tolist()
    assert [tuple(s.get_xdata()) for s in spans] == list(zip(frame["low"], frame["high"], strict=True))
    assert [m.get_markerfacecolor() == "white" for m in marks] == [True] + [False] * (len(frame) - 1)
    assert ax.get_yticklabels()[0].get_text() == f"{frame['factor'][0]} · {frame['b'][0]}"
    assert ax.get_xlabel() == "area under abs_rel (1): each − convnext, lower is better"
    shown = [t.get_text() for t in ax.texts]
    assert shown == [words.with_interval(row, sign=True) for _, row in frame.iterrows()]


def test_forest_says_what_is_undefined_or_unbounded(table):
    ratio = stats.curve_difference(table, ["factor"], a="convnext", b="pvt", n_boot=100).summary
    ratio = ratio[ratio["quantity"] == "ratio90"].reset_index(drop=True)
    ratio.loc[0, "high"] = np.inf
    ratio.loc[1, ["estimate", "low", "high"]] = np.nan
    ax = plots.draw_forest(ratio, rows=["factor"], ratio=True, label="ratio")
    assert ax.get_xscale() == "log"
    assert any("undefined" in t.get_text() for t in ax.texts)
    assert any("∞" in t.get_text() for t in ax.texts)
    assert any(line.get_marker() == ">" for line in ax.get_lines())
    assert np.isfinite(ax.get_xlim()).all()


def test_mixed_units_are_refused_on_one_axis(points):
    part = points[points["factor"] == "grid"].copy()
    part.loc[part.index[0], "unit"] = "m"
    with pytest.raises(ValueError, match="`unit`"):
        plots.draw_curves(part)


def test_panels_share_axes_and_styles(points):
    figure = plots.draw_curve_panels(points, axes=AXES, columns=2)
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title(loc="left") for ax in shown] == ["grid", "random"]
    assert len({ax.get_ylim() for ax in shown}) == 1
    assert len(shown[0].texts) == 0  # names stand at the end of the row only
    for one, other in zip(shown[0].get_lines(), shown[1].get_lines(), strict=True):
        assert (one.get_color(), one.get_marker()) == (other.get_color(), other.get_marker())
    with pytest.raises(ValueError, match="`order`"):
        plots.draw_curve_panels(points, order=["grid", "lattice"])


def test_nothing_overlaps_and_text_is_readable_in_print(points, compared):
    caption = plots.caption_line(points, {"protocol": {"name": "scenes", "hash": "0123abcd"}})
    title = "A sentence that is long enough to be wrapped over two lines, with its number 2.1× [1.7, 2.6]"
    curve = plots.draw_curves(points[points["factor"] == "grid"], axes=AXES).figure
    forest = plots.draw_forest(compared, rows=["factor"], hue="b").figure
    for figure in (plots.draw_curve_panels(points, axes=AXES, columns=2), curve, forest):
        plots.describe_figure(figure, title=title, caption=caption)
        assert overlaps(figure) == []
        assert min(t.get_fontsize() for t in texts(figure)) >= 7
        size = figure.bbox
        for text in texts(figure):
            box = mpl.text.Text.get_window_extent(text)
            assert box.y0 >= -1, text
            assert box.y1 <= size.y1 + 1, text


def test_no_line_begins_with_a_percent_sign():
    said = "abs_rel +1.5 % from base to dgr; 16.7 % would have been found, or 20 % of it " * 4
    for width in (3, 3.3, 3.6, 4, 4.7):
        figure = plots.describe_figure(mpl.figure.Figure(figsize=(width, 2)), title=said, caption=said)
        lines = [line for text in figure.findobj(mpl.text.Text) for line in text.get_text().splitlines()]
        assert len(lines) > 8
        assert not any(line.startswith("%") for line in lines)
        assert " ".join(figure.get_suptitle().split()) == said.strip()


@pytest.mark.parametrize("want", [[0.5] * 5, [0.0, 0.01, 0.02], [0.9, 0.95, 1.0, 1.0], [0.1, 0.5, 0.9], []])
def test_labels_are_spread_in_order_and_apart(want):
    got = curves.spread(dict(enumerate(want)), 0.1)
    at = [got[i] for i in sorted(got, key=lambda i: (want[i], str(i)))]
    assert (np.diff(at) >= 0.1 - 1e-9).all()
    assert all(-1e-9 <= a <= 1 + 1e-9 for a in at)
    if want == [0.1, 0.5, 0.9]:
        assert at == want


def ratio_row(estimate, low, high):
    return pd.Series({"a": "zoo:convnext", "b": "zoo:pvt", "estimate": estimate, "low": low, "high": high})


def test_titles_say_what_the_interval_allows():
    names = {"zoo:convnext": "ConvNeXt", "zoo:pvt": "PVT"}
    assert plots.ratio_title(ratio_row(2.1, 1.7, 2.6), names) == (
        "PVT needs 2.1× [1.7, 2.6] as many pixels as ConvNeXt for the same error"
    )
    assert plots.ratio_title(ratio_row(0.5, 0.4, 0.8), names).startswith(
        "ConvNeXt needs 2.0× [1.2, 2.5] as many pixels as PVT"
    )
    assert plots.ratio_title(ratio_row(2.1, 0.9, 2.6), names).startswith("Undecided")
    assert plots.ratio_title(ratio_row(2.1, np.nan, np.nan), names).startswith("Undecided")
    assert "2.1× [no interval] as many" in plots.ratio_title(ratio_row(2.1, np.nan, np.nan), names)
    missed = pd.concat([ratio_row(2.1, 1.7, 2.6), pd.Series({"not_reached": 0.04})])
    assert plots.ratio_title(missed).endswith("for the same error (no common error in 4 % of resamples)")
    assert "no gain from the fewest" in plots.ratio_title(ratio_row(np.nan, np.nan, np.nan), names)
    assert "pvt needs" in plots.ratio_title(ratio_row(2.1, 1.7, np.inf))
    assert "∞" in plots.ratio_title(ratio_row(2.1, 1.7, np.inf))


def test_difference_titles_follow_the_verdict():
    row = ratio_row(-0.04, -0.05, -0.03)
    row = pd.concat([row, pd.Series({"metric": "rmse", "unit": "m", "better": "lower", "verdict": "better"})])
    assert plots.difference_title(row) == "pvt has 0.040 [0.030, 0.050] m lower rmse than convnext (better)"
    assert plots.difference_title(row.replace("better", "undecided")).startswith(
        "Undecided whether pvt or convnext is better"
    )
    assert "equivalent" in plots.difference_title(pd.Series({**row, "verdict": "equivalent"}))
    with pytest.raises(ValueError, match="one row"):
        plots.difference_title(pd.DataFrame([row, row]))


def test_the_caption_counts_everything(points):
    frame = points.assign(undefined=0)
    frame.loc[frame.index[0], ["undefined", "n"]] = 3, 17
    sidecar = {"protocols": [{"name": "scenes", "hash": "0123abcd"}]}
    assert plots.caption_line(frame, sidecar) == (
        "n = 17–20 samples in 10 groups · 2 seeds · 3 undefined · 95 % simultaneous bands, groups resampled · "
        "protocol scenes (0123abcd)"
    )
    assert "protocol" not in plots.caption_line(frame)


@pytest.mark.parametrize(
    ("value", "want"),
    [(0.0, "0.0"), (1.234, "1.2"), (123.4, "123"), (0.0001234, "1.2e−04"), (-0.5, "−0.50"), (np.inf, "∞")],
)
def test_numbers_are_readable(value, want):
    assert words.number(value) == want


def test_names_lose_the_loader():
    assert display_name("zoo:pvt") == "pvt"
    assert display_name("zoo:pvt", {"zoo:pvt": "PVT"}) == "PVT"
    assert words.metric_name("auc(abs_rel@self)") == "area under abs_rel vs own full-image prediction"


def entry(rng, *, keep=True, sample="rooms-11000000"):
    depth = rng.uniform(1, 5, (12, 16))
    pred = depth + rng.normal(0, 0.2, depth.shape)
    depth[:3, :4] = np.nan
    meta = {"sample": sample, "model": "zoo:pvt", "factor": "grid", "level": 0.25, "metrics": {"abs_rel": 0.123}}
    image = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
    return {"image": image, "depth": depth, "pred": pred, "meta": meta} | (
        {"keep": rng.random((12, 16)) < 0.25} if keep else {}
    )


def test_gallery_shows_the_arrays_on_one_scale_per_row():
    rng = np.random.default_rng(0)
    entries = [entry(rng), entry(rng, sample="a/very/long/path/of/a/sample/rgb_00045.png")]
    figure = plots.draw_gallery(entries)
    rows = np.array([ax for ax in figure.axes if ax.get_images()]).reshape(2, 5)
    for line, one in zip(rows, entries, strict=True):
        image, kept, pred, truth, error = (ax.get_images()[0] for ax in line)
        assert np.array_equal(image.get_array(), one["image"])
        assert np.array_equal(pred.get_array(), one["pred"])
        assert np.allclose(error.get_array().filled(0), np.nan_to_num(one["pred"] - one["depth"]))
        assert truth.get_array().mask.sum() == 12
        assert pred.get_clim() == truth.get_clim() == (np.nanmin(one["depth"]), np.nanmax(one["depth"]))
        assert error.get_clim()[0] == -error.get_clim()[1]
        assert np.array_equal(kept.get_array()[one["keep"]], one["image"][one["keep"]])
        assert line[3].patch.get_hatch()
    assert rows[0, 4].get_images()[0].get_clim() == rows[1, 4].get_images()[0].get_clim()
    under = [ax.get_xlabel() for ax in rows[0]]
    assert under[:3] == ["rooms-11000000", "grid 25 %", "pvt"]
    assert under[4] == "abs_rel 0.12"
    assert overlaps(figure) == []
    assert [ax.get_title() for ax in figure.axes if ax.get_title() == "m"] == []  # units stand at the left of the bars
    assert sum(ax.get_title(loc="left") == "m" for ax in figure.axes) == 4


def test_near_is_warm():
    near, far = (mpl.colormaps[gallery.DEPTH_MAP](v)[:3] for v in (0.0, 1.0))
    assert near[0] > near[2]  # more red than blue
    assert far[2] > far[0]


def test_gallery_without_masks_or_truth():
    rng = np.random.default_rng(0)
    figure = plots.draw_gallery([entry(rng, keep=False)])
    assert sum(bool(ax.get_images()) for ax in figure.axes) == 4
    blind = entry(rng)
    blind["depth"][:] = np.nan
    with pytest.raises(ValueError, match="valid truth"):
        plots.draw_gallery([blind])
    with pytest.raises(ValueError, match="at least one"):
        plots.draw_gallery([])


def test_dropped_pixels_are_grey_and_lighter_and_still_a_picture():
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2] = (200, 0, 0)
    shown = gallery.kept_overlay(image, np.zeros((4, 4), bool))
    assert np.ptp(shown, axis=-1).max() == 0
    assert shown.min() > 100
    assert shown[0, 0, 0] != shown[3, 0, 0]


def test_files_are_written_and_repeat_byte_for_byte(points, tmp_path):
    part = points[points["factor"] == "grid"]
    digests = []
    for name in ("a", "b"):
        paths = plots.save_figure(plots.draw_curves(part, axes=AXES), tmp_path / name / "a01.v1_curves", part)
        assert [p.name for p in paths] == [f"a01.v1_curves.{kind}" for kind in ("pdf", "png", "csv")]
        digests.append([hashlib.sha256(p.read_bytes()).hexdigest() for p in paths])
    assert digests[0] == digests[1]
    back = pd.read_csv(paths[2])
    assert np.allclose(back["estimate"], part["estimate"])
    assert list(back.columns) == list(part.columns)
    assert mpl.image.imread(paths[1]).shape[1] > 400
