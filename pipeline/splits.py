"""Which part of the dataset a video belongs to: decided by its prompt alone. Pure.

So takes of a prompt, and variants of it in size or length, are always on the same side, and a video stays where it
is when others come or go.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from pipeline.errors import UsageError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_SHARE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?|\.[0-9]{1,9}")
_ALL = 1 << 64


@dataclass(frozen=True, slots=True)
class Splits:
    """Names, and the share of each: it has the prompts whose hash is below its bound and not below the one before.

    A bound is of 2**64, and what is held against it are the first 16 digits of the prompt's sha256.
    """

    names: tuple[str, ...]
    bounds: tuple[int, ...]

    def of(self, prompt_sha256: str) -> str:
        """Return the name of the split that a prompt with this hash is in."""
        lot = int(prompt_sha256[:16], 16)
        return next(name for name, bound in zip(self.names, self.bounds, strict=True) if lot < bound)

    @property
    def rule(self) -> str:
        """The rule in words."""
        if len(self.names) == 1:
            return "All videos are in one split."
        last = 0
        parts = []
        for name, bound in zip(self.names, self.bounds, strict=True):
            parts.append(f"`{name}` from {last / _ALL:.6g} up to {bound / _ALL:.6g}")
            last = bound
        lot = "the first 16 digits of its `prompt_sha256`, as a fraction of 2**64"
        return f"A video's split follows from {lot}: {', '.join(parts)}. So all videos of a prompt are together."


ONE = Splits(("train",), (_ALL,))


def splits(text: str) -> Splits:
    """Return the splits of ``train=0.8,test=0.2``. Raises UsageError for other text, and where the sum is not 1."""
    pairs = [part.strip().partition("=") for part in text.split(",")]
    names = [name.strip() for name, _, _ in pairs]
    for name, _, share in pairs:
        if not (_NAME.fullmatch(name.strip()) and _SHARE.fullmatch(share.strip()) and Fraction(share.strip()) > 0):
            raise UsageError(f"--splits takes NAME=SHARE,... such as train=0.8,test=0.2; this is {text!r}")
    if len({*names}) < len(names):
        raise UsageError(f"--splits names a split twice: {text!r}")
    shares = [Fraction(share.strip()) for _, _, share in pairs]
    if sum(shares) != 1:
        raise UsageError(f"the shares of --splits come to {float(sum(shares)):g} and not to 1")
    return Splits(tuple(names), _bounds(shares))


def _bounds(shares: Sequence[Fraction]) -> tuple[int, ...]:
    return tuple(int(sum(shares[: number + 1], Fraction(0)) * _ALL) for number in range(len(shares)))
