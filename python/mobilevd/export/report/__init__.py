"""What became of a stage: what its backend took, what stayed on the CPU and why, what it costs."""

from .refusals import explaining
from .stage_report import StageReport, report_stage

__all__ = ["StageReport", "explaining", "report_stage"]
