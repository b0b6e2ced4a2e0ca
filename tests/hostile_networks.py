"""Hostile networks and the files that hold them: NETWORKS and FILES."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import torch
from hostile import HTML, Case, Trap, escaped, is_finite, measure, network, pairs, values, weights


def outputs(body: str, expect: Any, **how: Any) -> Case:
    return Case(lambda place: network(place, body, **how), expect)


def measured(metric: str, value: float) -> Callable[[Path, Any], None]:
    """Both samples have this value of a metric."""
    return lambda place, _: np.testing.assert_allclose(values(place, metric), [value] * 2, atol=1e-6)


def failed(share: float) -> Callable[[Path, Any], None]:
    """This share of the judged pixels failed; the table and the terminal say so."""

    def check(place: Path, result: Any) -> None:
        np.testing.assert_allclose(values(place, "failed"), [share] * 2, atol=1e-6)
        assert f"No number (NaN): {100 * share:.3g} % of the judged pixels of py:" in result.output

    return check


def conducts(body: str, metric: str, value: float) -> Case:
    return outputs(body, measured(metric, value), probe="conduct")


def fails(body: str, kind: str, text: str) -> Case:
    """The network's own code fails: the sentence says which, at what, where and why."""
    why = rf"py:.*net\.py:N to answer to \(\d, 3, 24, 32\), but it raised {kind}: {text}.* \(net\.py, line 5\)\.$"
    return outputs(body, why)


def _exiting(place: Path) -> list[Any]:
    args = network(place, "return x")
    (place / "net.py").write_text("raise SystemExit\n")
    return args


MAP = r"Expected py:.* to return a map \(b 1 h w\) or \(b h w\)"
NETWORKS = {
    "NaN": outputs("return x[:, :1] * float('nan')", failed(1.0)),
    "NaN in half of the pixels": outputs(
        "y = torch.full_like(x[:, :1], 3.0); y[..., :12, :] = float('nan'); return y", failed(0.5)
    ),
    "infinite": outputs("return torch.full_like(x[:, :1], float('inf'))", is_finite),
    "NaN is reported": conducts("return x[:, :1] * float('nan')", "nan_share", 1.0),
    "infinity is reported": conducts("return torch.full_like(x[:, :1], float('inf'))", "nan_share", 1.0),
    "negative depth is reported": conducts("return -1 - x[:, :1].abs()", "nonpositive_share", 1.0),
    "constant depth is reported": conducts("return torch.full_like(x[:, :1], 3.0)", "spread", 0.0),
    "depth out of range is reported": conducts("return x[:, :1].abs() + 500", "out_of_range_share", 1.0),
    "constant depth, judged": outputs("return torch.full_like(x[:, :1], 3.0)", is_finite),
    "two channels": outputs("return x[:, :2]", rf"{MAP}, but got \(1, 2, 24, 32\)|{MAP}, but got \(2, 2, 24, 32\)"),
    "one number": outputs("return x.mean((1, 2, 3), keepdim=True)[:, :, 0, 0]", rf"{MAP}, but got \(\d, 1\)"),
    "no pixels": outputs("return x[:, :1, :0, :0]", rf"{MAP}, but got \(\d, 1, 0, 0\)"),
    "another number of images": outputs(
        "return torch.cat([x, x])[:, :1]", "one map for each of the 2 images, but got 4"
    ),
    "whole numbers": outputs("return torch.full_like(x[:, :1], 3).long()", is_finite),
    "complex numbers": outputs("return x[:, :1] * 1j", r"real numbers, but got torch\.complex64"),
    "a mask": outputs("return x[:, :1] > 0", r"real numbers, but got torch\.bool"),
    "a tuple": outputs("return (None, torch.full_like(x[:, :1], 3.0))", is_finite),
    "a depth and its confidence": outputs(
        "y = x[:, :1].abs(); return y + 1, y",
        r"net\.py:N to return one map, but got 2 .*; say which it is by .*, or return the depth alone",
    ),
    "an empty tuple": outputs("return ()", rf"{MAP}, but got tuple"),
    "nothing": outputs("return None", rf"{MAP}, but got NoneType"),
    "text": outputs("return 'deep'", rf"{MAP}, but got str"),
    "an unknown dictionary": outputs("return {'boxes': x}", rf"{MAP}, but got dict"),
    "another device": outputs("return x[:, :1].to('meta')", "on the device of the images, cpu, but got one on meta"),
    **{
        f"{kind}, of its own": fails(body, kind, text)
        for kind, body, text in (
            ("RuntimeError", "return nn.functional.conv2d(x, x[:, :1])", "Given groups=1, weight of size"),
            ("IndexError", "return x[0, 9]", "index 9 is out of bounds"),
            ("KeyError", "return {}['depth']", "'depth'"),
            ("AttributeError", "return self.nothing(x)", "'N' object has no attribute 'nothing'"),
            ("AssertionError", "assert x.shape[-1] % 14 == 0", "AssertionError"),
            ("ZeroDivisionError", "return x / (1 // 0)", "integer division"),
            ("RecursionError", "return self.forward(x)", "maximum recursion depth exceeded"),
            ("StopIteration", "return next(iter(()))", "StopIteration"),
            ("NotImplementedError", "raise NotImplementedError", "NotImplementedError"),
            ("ValueError", r"raise ValueError('\n two\nlines.')", "two"),
            ("SystemExit", "raise SystemExit(0)", "0"),
        )
    },
    "a name with HTML": Case(
        lambda place: network(place, "return torch.full_like(x[:, :1], 3.0)", name=f"{HTML}.py")[:-1], escaped(HTML)
    ),
    "code that is none": outputs("return (", "SyntaxError"),
    "code that ends the program": Case(_exiting, "to be an importable module or file, but SystemExit"),
}


def _trapped(place: Path, name: str) -> list[Any]:
    return weights(place, pickle.dumps({"w": Trap(place / "ran")}, protocol=2), name=name)


def _trapped_torch(place: Path) -> list[Any]:
    torch.save({"state_dict": {"w": Trap(place / "ran")}}, place / "bomb.pt")
    return measure(place, model=f"ckpt:{place}/bomb.pt?model=timm:test_convnext", root=pairs(place)[0].parents[1].name)


def _numbered(place: Path) -> list[Any]:
    pairs(place)
    torch.save({3: torch.zeros(1)}, place / "w.pt")
    return measure(place, model=f"ckpt:{place}/w.pt?model=timm:test_convnext")


def _building(place: Path, body: str) -> list[Any]:
    args = network(place, "return x")
    (place / "net.py").write_text(f"def N():\n    {body}\n")
    return args


def _hub(place: Path, code: str, options: str = "") -> list[Any]:
    pairs(place)
    (place / "hubconf.py").write_text(f"{code}\ndef build():\n    return None\n")
    return measure(place, model=f"torchhub:{place}:build{options}")


def recipe(text: str, expect: str) -> Case:
    def arrange(place: Path) -> list[Any]:
        body = f"open({str(place / 'ran')!r}, 'w').close()\ndef build():\n    raise SystemExit\n"
        (place / "evil.py").write_text(body)
        (place / "recipe.json").write_text(text.replace("PLACE", str(place)))
        return weights(place, hostile.safetensors({}), model="")

    return Case(arrange, expect)


def _climbing(place: Path) -> list[Any]:
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    return weights(place, hostile.safetensors({"../../../tmp/x": tensor}, b"\0" * 4))


WHOLE = r"to be a whole safetensors file, but: .*Write or copy it again"
FILES = {
    "a pickle that runs code": Case(lambda place: _trapped(place, "w.pt"), "to hold tensors only"),
    "a torch file that runs code": Case(_trapped_torch, "to hold tensors only"),
    "a torch file of zero bytes": Case(lambda place: weights(place, b"", name="w.pt"), "tensors only, but: EOFE"),
    "weights with a number for a name": Case(_numbered, r"to hold weights by name, .*; save net\.state_dict\(\)"),
    "code that fails in two lines": Case(
        lambda place: _building(place, r"raise ValueError('\n two\nlines')"), r"without arguments, but ValueError: two$"
    ),
    "a hubconf.py without leave": Case(lambda place: _hub(place, "open('ran', 'w')"), "leave before running .*hubconf"),
    "a hubconf.py that ends the program": Case(
        lambda place: _hub(place, "raise SystemExit", "?trust=1"), r"to build `build`, but SystemExit"
    ),
    "a pickle named safetensors": Case(lambda place: _trapped(place, "w.safetensors"), WHOLE),
    "weights of zero bytes": Case(lambda place: weights(place, b""), WHOLE),
    "weights cut off": Case(
        lambda place: weights(place, hostile.safetensors(
            {"a": {"dtype": "F32", "shape": [99], "data_offsets": [0, 396]}})), WHOLE
    ),
    "weights of exabytes": Case(lambda place: weights(place, b"\xff" * 8 + b"{}"), WHOLE),
    "weights named like paths": Case(_climbing, r"the weights in .* to fit timm:test_convnext"),
    "a recipe that names code": recipe('{"model": "py:PLACE/evil.py:build"}', r"leave before .*evil\.py:build.*trust"),
    "a recipe that trusts itself": recipe('{"model": "torchhub:PLACE:evil?trust=1"}', r"leave before .*\?trust=1"),
    "a recipe with code in an option": recipe('{"model": "mask:conv?of=py:PLACE/evil.py:build"}', "leave before"),
    "a recipe with encoded code": recipe('{"model": "mask:conv?of=%70y:PLACE/evil.py:build"}', "leave before"),
    "a recipe that names its own weights": recipe('{"model": "ckpt:PLACE/w.safetensors"}', "it leads back to itself"),
    "a recipe that is no JSON": recipe("{", r"recipe\.json to be a JSON object, but"),
    "a recipe that is a list": recipe("[]", r"recipe\.json to be a JSON object, but it is a list"),
    "a recipe without a network": recipe("{}", r"recipe\.json to name the architecture"),
    "a recipe of an unknown network": recipe('{"model": "rm -rf"}', "Expected `model` to be one of"),
}  # fmt: skip
