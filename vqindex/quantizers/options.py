"""What recipes' options have in common."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from vqindex.errors import SpecError


class Centering:
    """A recipe's option `center`: take the mean of the first rows off all rows."""

    center: bool

    @property
    def centered(self) -> bool:
        """See Quantizer."""
        return self.center

    @property
    def sample_size(self) -> int:
        """1,024 rows for the mean, none without centring."""
        return 1024 if self.center else 0


def check_yes_or_no(**options: object) -> None:
    """SpecError unless every option is True or False, which factory strings call yes and no."""
    for name, value in options.items():
        if type(value) is not bool:
            raise SpecError(f"{name} must be yes or no, got {value!r}.")


def check_choice(known: Iterable[object], **options: object) -> None:
    """SpecError unless every option is one of those known."""
    known = tuple(known)
    for name, value in options.items():
        if type(value) is not type(known[0]) or value not in known:
            listed = ", ".join(map(str, known))
            raise SpecError(f"{name} must be one of {listed}, got {value!r}.")


def whole(options: Mapping[str, object], *names: str) -> dict[str, Any]:
    """The options, those named as integers where they are written as such."""
    return {
        key: int(str(value)) if key in names and str(value).isdecimal() else value
        for key, value in options.items()
    }


def fractions(options: Mapping[str, object], *names: str) -> dict[str, Any]:
    """The options, those named as floats where they are written as such."""
    out = dict(options)
    for name in names:
        if re.fullmatch(r"\d*\.?\d+", str(out.get(name))):
            out[name] = float(str(out[name]))
    return out


def spelled(name: str, **options: tuple[object, object]) -> str:
    """The factory string of a name and of options (value, default) that are not as by default."""
    texts = {"True": "yes", "False": "no"}
    inside = ",".join(
        f"{key}={texts.get(str(value), value)}"
        for key, (value, default) in sorted(options.items())
        if value != default
    )
    return f"{name}({inside})" if inside else name
