"""Registry: one name, one owner; unknown names are explained."""

import pytest

from depthprobe.models import load_model
from depthprobe.registry import Registry


@pytest.fixture
def fruit():
    registry = Registry("fruit")
    registry.register("pear", unit="kg")(lambda: "a pear")
    registry.register("apple", unit="g", better="higher")(lambda: "an apple")
    return registry


def test_register_returns_the_function_itself(fruit):
    def plum():
        return "a plum"

    assert fruit.register("plum")(plum) is plum
    assert fruit["plum"] is plum


def test_names_are_sorted_and_iterated(fruit):
    assert fruit.names() == ["apple", "pear"] == list(fruit)
    assert "pear" in fruit
    assert "quince" not in fruit


def test_facts_are_a_copy(fruit):
    fruit.facts("apple")["unit"] = "t"
    assert fruit.facts("apple") == {"unit": "g", "better": "higher"}


def test_a_duplicate_names_the_owner(fruit):
    with pytest.raises(ValueError, match=r"`pear` is already registered by .*test_registry"):
        fruit.register("pear")(lambda: None)


def test_an_unknown_name_lists_the_known_and_the_nearest(fruit):
    with pytest.raises(
        ValueError, match=r"Expected fruit to be one of \['apple', 'pear'\], but got 'aple'. Did you mean `apple`\?"
    ):
        fruit["aple"]
    with pytest.raises(ValueError, match=r"but got 'xyz'\.$"):
        fruit.facts("xyz")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("zoo:pvtt.mixed", "zoo:pvt.mixed"), ("orcle:row?seed=1", "oracle:row"), ("tim:resnet18", "timm:resnet18")],
)
def test_a_mistyped_model_is_guessed(typed, meant):
    with pytest.raises(
        ValueError, match=rf"Expected `model` to be one of .*, but got '.*'\. Did you mean `{meant}`\?$"
    ):
        load_model(typed)


def test_a_mistyped_name_of_a_known_kind_lists_that_kind_alone():
    with pytest.raises(ValueError, match=r"one of \['zoo:[^\]]*'zoo:pvt'[^\]]*\], but got 'zoo:convnxt'\.") as caught:
        load_model("zoo:convnxt")
    assert "oracle:" not in str(caught.value)


def test_a_model_like_none_is_not_guessed():
    with pytest.raises(ValueError, match=r"but got 'unheard'\.$"):
        load_model("unheard")
