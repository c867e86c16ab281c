"""Who trains together: what TF_CONFIG says."""

import json
import re
from dataclasses import dataclass

from fer_edge.errors import UsageError

_TWO_HOSTS = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
EXAMPLE = f"TF_CONFIG='{_TWO_HOSTS}'"


@dataclass(frozen=True)
class Cluster:
    """Who trains together, as TF_CONFIG says."""

    workers: tuple[str, ...]
    """host:port of each; the first leads."""
    rank: int
    """Which of them this process is."""


def read_cluster(text: str | None) -> Cluster | None:
    """Read TF_CONFIG; None where it is not set, or names this process alone.

    >>> read_cluster('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}')
    Cluster(workers=('a:1', 'b:1'), rank=1)

    Raises:
        UsageError: It cannot be read, or names parameter servers or the like.
    """
    if not text:
        return None
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        if set(cluster) - {"chief", "worker"}:
            raise ValueError("its cluster may name chief and worker only")
        workers = (*cluster.get("chief", ()), *cluster.get("worker", ()))
        rank = int(task["index"]) + (len(cluster.get("chief", ())) if task["type"] == "worker" else 0)
        mine = cluster[task["type"]][task["index"]]
        if task["index"] < 0 or not all(isinstance(worker, str) for worker in workers) or workers[rank] != mine:
            raise ValueError("its task is none of its cluster")
        if unclear := [worker for worker in workers if not re.fullmatch(r".+:\d{1,5}", worker)]:
            raise ValueError(f"{unclear[0]} is no host:port")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UsageError(f"TF_CONFIG cannot be read: {error}; it should look like {EXAMPLE}") from error
    return Cluster(workers, rank) if len(workers) > 1 else None
