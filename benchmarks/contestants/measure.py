"""What each contestant is asked on its command line, and what it prints; nothing that is not in Python itself."""

import json
import resource
import sys
import time
from collections.abc import Callable

QUESTION = "[Genesis 5:6] And Seth lived an hundred and five years, and begat Enos: who begat son {} of his? "


def asked() -> tuple[str, int, int]:
    """Where the server is, how many questions are asked at once, and how many in all."""
    return sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def measured(evaluate: Callable[[], float]) -> None:
    """Evaluate, and print what it took; what it gives back is the number of right answers."""
    begun, cpu = time.perf_counter(), time.process_time()
    right = evaluate()
    took = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu, "right": right}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({**took, "megabytes": peak / (1e6 if sys.platform == "darwin" else 1e3)}))
