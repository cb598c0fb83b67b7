"""Numbers of things in words."""


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun; `many` is the plural where that is not `one` with an s.

    >>> counted(1, "image"), counted(0, "image"), counted(2, "class", "classes")
    ('1 image', '0 images', '2 classes')
    """
    return f"{count} {one if count == 1 else many or f'{one}s'}"
