"""The auditor: fresh critics estimate the information in frozen codes."""

from .audit import audit
from .correlations import Correlations
from .curve import LearningCurve, Recognition
from .report import AuditReport, Stratum

__all__ = ["AuditReport", "Correlations", "LearningCurve", "Recognition", "Stratum", "audit"]
