"""Checks of arguments: each returns the value with its type, or raises an error that names the argument."""

import difflib
import inspect
from typing import Any

import numpy as np

# Old keywords and their new names. Where there are two, the one that the function accepts applies.
RENAMED = {
    "goal": ("instruction", "goal_prompt"),
    "prompt": ("goal_prompt",),
    "baseline": ("baseline_prompt",),
    "every": ("every_n_steps",),
}


def refuse_unknown(kwargs: dict[str, Any], function: Any) -> None:
    """Raises a ``TypeError`` for an unknown keyword, with its new name or the nearest keyword that exists."""
    if not kwargs:
        return
    known = [name for name in inspect.signature(function).parameters if name not in ("self", "unknown")]
    name = next(iter(kwargs))
    new_name = next((new for new in RENAMED.get(name, ()) if new in known), None)
    near = difflib.get_close_matches(name, known, n=1)
    if name == "every" and kwargs[name] == "episode_end" and "schedule" in known:
        hint = "; use schedule='episode_end'"
    elif new_name is not None:
        hint = f"; it was renamed to '{new_name}'"
    else:
        hint = f"; did you mean '{near[0]}'?" if near else ""
    raise TypeError(f"unexpected keyword argument '{name}'{hint} (known: {', '.join(known)})")


def choice(name: str, value: str, allowed: tuple[str, ...]) -> str:
    """One of the allowed values."""
    if value in allowed:
        return value
    near = difflib.get_close_matches(str(value), allowed, n=1)
    meant = f"; did you mean '{near[0]}'?" if near else ""
    raise ValueError(f"{name} = {value!r}; expected one of {', '.join(allowed)}{meant}")


def integer(name: str, value: Any, low: int, high: int) -> int:
    """An integer in [low, high], as Python's ``int``; NumPy's integers are accepted."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise ValueError(f"{name} = {value!r}; expected an integer from {low} to {high}")
    return int(value)


def fraction(name: str, value: Any) -> float:
    """A number in [0, 1]."""
    if isinstance(value, (bool, str)) or not isinstance(value, (int, float, np.number)) or not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} = {value!r}; expected a number in [0, 1]")
    return float(value)


def text(name: str, value: Any) -> str:
    """A string that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} = {value!r}; expected a non-empty string")
    return value


def image_size(size: Any) -> tuple[int, int]:
    """Rows and columns of an image, from both or from one number for both."""
    both = (size, size) if isinstance(size, (int, np.integer)) else size
    if not isinstance(both, (tuple, list)) or len(both) != 2:
        raise ValueError(f"size = {size!r}; expected a number, or rows and columns")
    return integer("size", both[0], 1, 4096), integer("size", both[1], 1, 4096)


def seed_of(seed: Any) -> int:
    """A seed as Python's ``int``; NumPy's integers are accepted."""
    if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed = {seed!r}; expected an integer")
    if not 0 <= int(seed) < 2**64:
        raise ValueError(f"seed = {seed}; expected an integer of 0 or more, below 2**64")
    return int(seed)
