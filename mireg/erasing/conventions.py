r"""The conventions of scikit-learn's estimators, without importing scikit-learn."""

__all__ = ["Conventions", "not_fitted"]

import importlib
import inspect
import sys
from typing import Any

from typing_extensions import Self


class Conventions:
    """The interface of scikit-learn: settings by the names of constructor arguments, and tags."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns the settings by name."""
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        return {name: getattr(self, name) for name in names}

    def set_params(self, **params: Any) -> Self:
        """Changes settings by name.

        Raises:
            ValueError: If there is no setting of a name.
        """
        names = self.get_params()
        for name, value in params.items():
            if name not in names:
                raise ValueError(
                    f"Invalid parameter {name!r} for {type(self).__name__}: the parameters are "
                    f"{', '.join(names)}"
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        # Compared as text, since a value may be an array.
        changed = [
            f"{name}={v!r}"
            for name, v in self.get_params().items()
            if repr(v) != repr(defaults[name].default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")

    def __sklearn_tags__(self) -> Any:
        # Only called by scikit-learn, so it is installed.
        utils = importlib.import_module("sklearn.utils")
        return utils.Tags(
            estimator_type="transformer",
            target_tags=utils.TargetTags(required=True),
            transformer_tags=utils.TransformerTags(preserves_dtype=["float64", "float32"]),
        )


def not_fitted() -> ValueError:
    """Returns scikit-learn's `NotFittedError`, or its base `ValueError` if it is not in use."""
    text = "this Eraser is not fitted yet: call fit(X, s) first"
    if "sklearn" not in sys.modules:
        return ValueError(text)
    made: ValueError = importlib.import_module("sklearn.exceptions").NotFittedError(text)
    return made
