"""The auditor: fresh critics estimate the information in frozen codes."""

from .audit import audit
from .curve import LearningCurve, Recognition
from .report import AuditReport, Stratum

__all__ = ["AuditReport", "LearningCurve", "Recognition", "Stratum", "audit"]
