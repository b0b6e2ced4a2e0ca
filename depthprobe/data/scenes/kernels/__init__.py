"""Numba kernels of the scene renderer: everything that touches pixels. Plain arrays and tuples in, arrays out."""
