"""MATLAB's v7.3 files are HDF5, which can point to other files: only what lies in the file itself is read."""

from typing import Any

import h5py


def member(group: h5py.Group, name: str) -> Any:
    """The array or group `name` of a group.

    Raises:
        KeyError: if there is none.
        OSError: if it lies, or its numbers lie, in another file.
    """
    if not isinstance(group.get(name, getlink=True), h5py.HardLink | None):
        raise OSError(f"`{name}` is a link")
    return kept_here(group[name], name)


def kept_here(found: Any, name: str) -> Any:
    """An array or group that was found in a file, if its numbers lie there too.

    Raises:
        OSError: if they lie in another file.
    """
    if isinstance(found, h5py.Dataset) and (found.external or found.is_virtual):
        raise OSError(f"`{name}` lies in another file")
    return found
