"""A Ray cluster of two nodes on this machine, a process of its own until its standard input ends.

It prints one line of JSON: the address, and the process ids of the second node's raylet and of the head.
"""

import json
import sys
from typing import Any

from ray.cluster_utils import Cluster

NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000}


def main() -> None:
    cluster: Any = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    second = cluster.add_node(**NODE).all_processes
    head = cluster.head_node.all_processes
    pids = {
        "second": [info.process.pid for info in second["raylet"]],
        "head": [info.process.pid for kind in ("gcs_server", "raylet") for info in head[kind]],
    }
    print(json.dumps({"address": cluster.address, **pids}), flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main()
