"""Infos of vector environments in Gymnasium's layout: a column and a mask for each key."""

from typing import Any

import numpy as np


def rows(infos: dict[str, Any], num_envs: int, outer: np.ndarray | None = None) -> list[dict[str, Any]]:
    """The infos of each env: the values of the keys whose mask includes the env, numbers as Python's types.

    Within a dict, a key without a mask has the mask of the dict, as ``RecordEpisodeStatistics`` of Gymnasium writes it.
    """
    by_env: list[dict[str, Any]] = [{} for _ in range(num_envs)]
    for key, column in infos.items():
        if key.startswith("_"):
            continue
        mask = infos[f"_{key}"] if outer is None else infos.get(f"_{key}", outer)
        if isinstance(column, dict):
            values: Any = rows(column, num_envs, mask)
        else:
            values = column.tolist() if column.ndim == 1 and column.dtype != object else column
        for i in np.flatnonzero(mask).tolist():
            by_env[i][key] = values[i]
    return by_env
