"""What fresh critics find in the codes of training identities."""

__all__ = ["AuditTraining"]

from ..data import ImageSet
from .audit import Audit
from .run import Run
from .study import study


@study
class AuditTraining(Audit):
    """Creates the audit of pose codes of the images that were trained on.

    There are more identities than among held-out ones, so that fresh critics learn more.
    """

    help = "The same with the codes of training characters, of which there are more."
    scope = "main"

    def images(self, run: Run) -> ImageSet:
        return run.train_set
