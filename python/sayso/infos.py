"""Infos of vectors, as Gymnasium lays them out: a column and a mask for each key."""

from typing import Any

import numpy as np


def rows(infos: dict[str, Any], num_envs: int) -> list[dict[str, Any]]:
    """The infos of each env: of every key those whose mask names it, numbers as Python's own."""
    told: list[dict[str, Any]] = [{} for _ in range(num_envs)]
    for key, column in infos.items():
        if key.startswith("_"):
            continue
        if isinstance(column, dict):
            values: Any = rows(column, num_envs)
        else:
            values = column.tolist() if column.ndim == 1 and column.dtype != object else column
        for i in np.flatnonzero(infos[f"_{key}"]).tolist():
            told[i][key] = values[i]
    return told
