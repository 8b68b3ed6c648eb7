"""The wording of messages."""


def counted(number: int, one: str, several: str | None = None) -> str:
    """A number with its noun.

    >>> [counted(1, "photograph"), counted(2000, "photograph"), counted(0, "patch", "patches")]
    ['1 photograph', '2,000 photographs', '0 patches']
    """
    return f"{number:,} {one if number == 1 else several or one + 's'}"
