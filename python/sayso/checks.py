"""Arguments of users: each is returned as what it is, or refused by name."""

import difflib
from typing import Any

import numpy as np


def choice(name: str, value: str, allowed: tuple[str, ...]) -> str:
    """``value``, if it is one of ``allowed``."""
    if value in allowed:
        return value
    near = difflib.get_close_matches(str(value), allowed, n=1)
    meant = f"; did you mean '{near[0]}'?" if near else ""
    raise ValueError(f"{name} = {value!r}; expected one of {', '.join(allowed)}{meant}")


def whole(name: str, value: Any, low: int, high: int) -> int:
    """A whole number of a range, NumPy's too, as Python's."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise ValueError(f"{name} = {value!r}; expected a whole number from {low} to {high}")
    return int(value)


def fraction(name: str, value: Any) -> float:
    """A number in [0, 1]."""
    if isinstance(value, (bool, str)) or not isinstance(value, (int, float, np.number)) or not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} = {value!r}; expected a number in [0, 1]")
    return float(value)


def sentence(name: str, value: Any) -> str:
    """A sentence that says something."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} = {value!r}; expected a sentence")
    return value


def sides(size: Any) -> tuple[int, int]:
    """Rows and columns of a picture."""
    both = (size, size) if isinstance(size, (int, np.integer)) else size
    if not isinstance(both, (tuple, list)) or len(both) != 2:
        raise ValueError(f"size = {size!r}; expected a number, or rows and columns")
    return whole("size", both[0], 1, 4096), whole("size", both[1], 1, 4096)


def seed_of(seed: Any) -> int:
    """A seed as Python's integer; NumPy's integers are taken too."""
    if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed = {seed!r}; expected an integer")
    if not 0 <= int(seed) < 2**64:
        raise ValueError(f"seed = {seed}; expected an integer of 0 or more, below 2**64")
    return int(seed)
