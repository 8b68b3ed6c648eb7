"""How the commands word what they tell."""


def counted(number: int, one: str, several: str | None = None) -> str:
    """``1 picture``, ``2 pictures``."""
    return f"{number} {one if number == 1 else several or one + 's'}"
