"""Tests of what is on disk wait for the thread that has it there."""

import threading


def await_sync() -> None:
    """Wait for what is being had on disk."""
    for thread in threading.enumerate():
        if thread.name == "sync":
            thread.join(10)
