"""The checks at public doors say what was expected, what came and where."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthprobe.checks import check_kind, check_one_of, check_range, check_shapes, first_line, shortened


def test_shapes_return_the_named_sizes():
    sizes = check_shapes(image=(np.zeros((2, 3, 4, 5)), "b 3 h w"), depth=(np.zeros((2, 1, 4, 5)), "b 1 h w"))
    assert sizes == {"b": 2, "h": 4, "w": 5}


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 1, 4, 6), r"Expected `depth` to have shape \(b 1 h w\) with w=5, but got \(2, 1, 4, 6\)."),
        ((2, 2, 4, 5), r"with 1=1, but got \(2, 2, 4, 5\)"),
        ((2, 4, 5), r"Expected `depth` to have shape \(b 1 h w\), but got \(2, 4, 5\)."),
    ],
)
def test_a_wrong_shape_is_named(shape, message):
    with pytest.raises(ValueError, match=message):
        check_shapes(image=(np.zeros((2, 3, 4, 5)), "b 3 h w"), depth=(np.zeros(shape), "b 1 h w"))


def test_one_of_lists_what_is_known():
    check_one_of("fill", "mean", {"mean", "blur"})
    with pytest.raises(ValueError, match=r"Expected `fill` to be one of \['blur', 'mean'\], but got 'men'."):
        check_one_of("fill", "men", {"mean", "blur"})


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_range_is_closed(value):
    check_range("budget", value, 0, 1)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_outside_the_range_is_refused(value):
    with pytest.raises(ValueError, match=r"Expected `budget` to be in \[0, 1\], but got"):
        check_range("budget", value, 0, 1)


def test_an_open_lower_end_is_refused_itself():
    with pytest.raises(ValueError, match=r"in \(0, 1\]"):
        check_range("budget", 0.0, 0, 1, open_low=True)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(3, int), (3, float), (2.5, float), (None, int | None), ("a", str | Path | None), ((1, 2), tuple[int, int]),
     ([1.0], float | Sequence[float]), (True, bool), (object(), Any)],
)  # fmt: skip
def test_a_value_of_its_kind_passes(value, kind):
    check_kind("`x`", value, kind)


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [("3", int, "int"), (True, int, "int"), (True, float, "float"), (2.5, int | None, "int | None"),
     (3, tuple[int, int], "tuple[int, int]")],
)  # fmt: skip
def test_a_value_of_another_kind_is_refused(value, kind, shown):
    with pytest.raises(ValueError, match=re.escape(f"Expected `x` to be {shown}, but got {value!r}.")):
        check_kind("`x`", value, kind)


@pytest.mark.parametrize(
    ("error", "line"),
    [(ValueError("a"), "a"), (ValueError("\n  a \nb"), "a"), (ValueError(), "ValueError"), (KeyError("a"), "'a'"),
     (OSError(" \n "), "OSError"), (ValueError("a\x1b[2J\x07b"), "a [2J b")],
)  # fmt: skip
def test_the_first_line_of_an_error_is_not_blank(error, line):
    assert first_line(error) == line


@pytest.mark.parametrize("text", ["word " * 100, "x" * 500, "x" * 400 + " y"])
def test_a_long_text_is_cut_between_words_where_there_are_any(text):
    short = shortened(text, 50)
    assert len(short) <= 50 and short.endswith(" ...")
    assert text.startswith(short[:-4])
    assert shortened(text, len(text)) == text


def test_a_sentence_of_this_package_keeps_what_to_do():
    many = ", ".join(f"name_{k}" for k in range(50))
    assert first_line(ValueError(f"Expected one of {many}, but got none; use `scenes`.")).endswith("use `scenes`.")
    assert first_line(ValueError(f"One of {many} went wrong.")).endswith(" ...")
