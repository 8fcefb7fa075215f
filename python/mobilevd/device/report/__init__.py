"""Several runs and devices side by side: report.json, report.md, report.html."""

from .write import write_report

__all__ = ["write_report"]
