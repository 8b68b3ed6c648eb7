"""How much the fuzz tests try."""

import os

ROUNDS = int(os.environ.get("SDFLOW_FUZZ_ROUNDS", "100"))
"""Seeded mutations of each kind of each file; the variable asks for more, or fewer."""
