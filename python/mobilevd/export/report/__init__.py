"""What became of a stage: what its backend took, what stayed on the CPU and why, what it costs."""

from .refusals import explained
from .stage_report import StageReport, report_stage

__all__ = ["StageReport", "explained", "report_stage"]
