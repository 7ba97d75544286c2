r"""What scikit-learn asks of an estimator, without an import of scikit-learn."""

__all__ = ["Conventions", "not_fitted"]

import importlib
import inspect
import sys
from typing import Any

from typing_extensions import Self


class Conventions:
    """Creates what has settings by name, as its constructor takes them, and says what it is when scikit-learn asks."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns the settings by name."""
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        return {name: getattr(self, name) for name in names}

    def set_params(self, **params: Any) -> Self:
        """Changes settings by name.

        Raises:
            ValueError: If there is no such setting.
        """
        names = self.get_params()
        for name, value in params.items():
            if name not in names:
                raise ValueError(
                    f"Invalid parameter {name!r} for {type(self).__name__}: the parameters are {', '.join(names)}"
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        # By their text: a value may be an array.
        changed = [
            f"{name}={v!r}"
            for name, v in self.get_params().items()
            if repr(v) != repr(defaults[name].default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")

    def __sklearn_tags__(self) -> Any:
        # Only scikit-learn asks for them.
        utils = importlib.import_module("sklearn.utils")
        return utils.Tags(
            estimator_type="transformer",
            target_tags=utils.TargetTags(required=True),
            transformer_tags=utils.TransformerTags(preserves_dtype=["float64", "float32"]),
        )


def not_fitted() -> ValueError:
    """Returns the error of scikit-learn where that is in use, which is a ValueError too."""
    text = "this Eraser is not fitted yet: call fit(X, s) first"
    if "sklearn" not in sys.modules:
        return ValueError(text)
    made: ValueError = importlib.import_module("sklearn.exceptions").NotFittedError(text)
    return made
