"""The checks at public doors say what was expected, what came and where."""

import numpy as np
import pytest

from depthprobe.checks import check_one_of, check_range, check_shapes


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
