"""The report of a bundle as one HTML page that needs nothing else."""

from .page import write_page

__all__ = ["write_page"]
