"""Options in a model's name: numbers are read, and what does not fit is said in one sentence."""

import pytest

from depthprobe.models import load_model
from depthprobe.models.options import read_options


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("oracle:row?x=2", r"oracle:row without options of its own, but got \['x'\]"),
        ("zoo:pvt?foo=1", r"zoo:pvt without options of its own, but got \['foo'\]"),
        ("mask:conv?of=zoo:pvt&wieght=1", "Did you mean `weight`"),
        ("oracle:window?r=a", "option `r` of oracle:window to be a whole number, but got 'a'"),
        ("oracle:window?r=2.5", "a whole number"),
        ("oracle:support?share=many", "option `share` of oracle:support to be a number, but got 'many'"),
        ("timm:test_convnext?seed=x", "option `seed` of timm: to be a whole number"),
        ("timm:test_convnext?width=7", "`width` of the decoder to be a multiple of 8, but got 7"),
        ("timm:test_convnext?size=32", "HEIGHTxWIDTH"),
        ("mask:conv?of=zoo:pvt&budget=abc", "option `budget` of mask: to be a number"),
        ("py:torch.nn:Identity?multiple=q", "option `multiple` of py: to be a whole number"),
        (
            "py:torch.nn:Identity?size=64x5&multiple=14",
            r"`size` of py:.* to be a multiple of 14, but got \(64, 5\); say size=70x14, or leave out `multiple`",
        ),
        ("py:torch.nn:Identity?size=²x4", "HEIGHTxWIDTH"),
        ("oracle:window?r=9&r=3", r"every option of oracle:window.* once, but got \['r'\] more often; leave"),
        ("oracle:window?r=9&x", r"options of oracle:window to be among \['r'\], but got \['x'\]"),
        ("oracle:window?r=", r"options of oracle:window with a value, but got \['r'\] without; leave them out"),
        ("py:torch.nn:Identity?output", r"options of py: with a value, but got \['output'\] without; leave"),
        ("timm:test_convnext?size=&pretrained=", r"timm: with a value, but got \['size', 'pretrained'\] without"),
        ("timm:test_convnext?pretrained=maybe", "Expected `pretrained` to be one of .*'false'.*, but got 'maybe'"),
        ("timm:test_convnext?in_chans=1", r"`test_convnext` to read images \(3, 96, 128\), but: Given groups"),
    ],
)
def test_an_option_that_does_not_fit_is_named(name, said):
    with pytest.raises(ValueError, match=said):
        load_model(name)


def test_an_option_without_a_value_is_the_default_where_that_is_nothing():
    def factory(path, *, revision="", trust="", n=3, **others):
        return path

    empty = {"revision": "", "trust": ""}
    assert read_options("x:", factory, empty) == empty
    for option in ("n", "other"):
        with pytest.raises(ValueError, match=rf"with a value, but got \['{option}'\]"):
            read_options("x:", factory, {**empty, option: ""})
    with pytest.raises(FileNotFoundError, match="neither"):
        load_model("hf:./nowhere?revision=&trust=")


def test_numbers_are_read_as_their_defaults_are():
    assert load_model("oracle:constant?value=2").net.value == 2.0
    assert load_model("oracle:window?r=3").card.tag == "r=3"
    assert load_model("timm:test_convnext?size=32x32&seed=2").card.tag == "random2"
    assert load_model("timm:test_convnext?pretrained=False").card.tag == "random"
