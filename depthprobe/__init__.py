"""depthprobe: what does a monocular depth network look at, and why does it fail?

`depthprobe.load_model`, `depthprobe.load_dataset` and `depthprobe.run` are imported at first use, so that
`import depthprobe` is fast and the table's side of the package works without torch.
"""

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "load_dataset", "load_model", "run"]
_HOME = {"load_model": "depthprobe.models", "load_dataset": "depthprobe.data"}


def __getattr__(name: str) -> Any:
    if name == "run":  # the module `depthprobe.run` is itself callable: both meanings of the name are one object
        return importlib.import_module("depthprobe.run")
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module `depthprobe` has no attribute {name!r}; it offers {__all__}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
