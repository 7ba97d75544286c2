"""The auditor: fresh critics estimate the information in frozen codes."""

from .audit import audit
from .report import AuditReport

__all__ = ["AuditReport", "audit"]
