"""How often Python looks for garbage: seldom, since what a run holds is mostly packages, which never are any."""

import atexit
import gc


def collect_seldom() -> None:
    """Do not look through all modules again and again while they are imported, nor once more when the process ends.

    That takes half a second with DSPy and MLflow.
    """
    gc.set_threshold(50_000, 20, 20)
    atexit.register(gc.freeze)
