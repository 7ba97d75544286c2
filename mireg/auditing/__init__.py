"""Fresh critics on frozen codes: how much do they find, and how sure is that?"""

from .audit import audit
from .report import AuditReport

__all__ = ["AuditReport", "audit"]
