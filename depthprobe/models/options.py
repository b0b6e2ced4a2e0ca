"""Reading the options that follow a model's name."""


def parse_size(text: str) -> tuple[int, int]:
    """`"96x128"` -> (96, 128), height before width.

    Raises:
        ValueError: if the text is not two positive whole numbers.
    """
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(p.isdigit() and int(p) > 0 for p in parts):
        raise ValueError(f"Expected `size` to be HEIGHTxWIDTH such as 96x128, but got {text!r}.")
    return (int(parts[0]), int(parts[1]))
