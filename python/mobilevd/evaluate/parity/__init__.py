"""How far a bundle's programs are from the model they were made of, stage by stage and block by
block."""

from .measure import LIMITS, first_over, measure_parity

__all__ = ["LIMITS", "first_over", "measure_parity"]
