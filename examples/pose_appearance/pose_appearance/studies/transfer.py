"""A picture of transfers: held-out poses across, held-out appearances down."""

__all__ = ["TransferPicture"]

from typing import Any

from .pictures import transfer_grid
from .run import Run
from .study import Study, study


@study
class TransferPicture(Study):
    """Creates `transfer.png`."""

    def measure(self, run: Run, gathered: None) -> dict[str, Any]:
        model, count = run.model, run.effort.grid
        grid = transfer_grid(model.transfer, run.held_out, model.options.size, run.device, count)
        grid.save(run.folder / "transfer.png")
        return {}
