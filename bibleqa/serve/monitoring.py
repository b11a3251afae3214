"""What the server counts for Prometheus."""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_METHODS = {"GET", "POST", "DELETE", "HEAD", "OPTIONS"}


class Monitoring:
    """The counts of one server."""

    def __init__(self, gauges: Mapping[str, tuple[str, Callable[[], float]]]):
        """Begin at nothing.

        Args:
            gauges: What is read when it is asked for, by name, each with what it is.
        """
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        labels = ("route", "method", "status")
        self._requests = Counter("bibleqa_requests", "Requests.", labels, registry=self._registry)
        self._seconds = self._histogram("bibleqa_request_seconds", "From a request to the end of its reply.", "route")
        self._answers = self._histogram("bibleqa_answer_seconds", "What an answer took, by its parts.", "part")
        for name, (help, value) in gauges.items():
            Gauge(f"bibleqa_{name}", help, registry=self._registry).set_function(value)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request; `route` is one of the server's own, whatever was asked for."""
        self._requests.labels(route, method if method in _METHODS else "other", str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def answer(self, seconds: Mapping[str, float]) -> None:
        """Count an answer."""
        for part, took in seconds.items():
            self._answers.labels(part).observe(took)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)

    def _histogram(self, name: str, help: str, label: str) -> Histogram:
        return Histogram(name, help, (label,), buckets=_SECONDS, registry=self._registry)
