"""How much the fuzz tests try."""

import os


def rounds(default: int) -> int:
    """Seeded mutations of each kind of each file: SDFLOW_FUZZ_ROUNDS, or as many as take a minute."""
    return int(os.environ.get("SDFLOW_FUZZ_ROUNDS", default))
