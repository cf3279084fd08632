"""What Prometheus may know: counts and times by route, jobs by state; no ids, no names."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)

Gauges = Callable[[], Iterable[tuple[str, str, Mapping[str, float]]]]


class Metrics:
    """One server's counts, apart from those of any other in the same process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "extent_requests", "Requests.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "extent_request_seconds",
            "From a request's headers to the end of its answer.",
            ("method", "route"),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request that has been answered; `route` is a template."""
        key = (method, route, status)
        children = self._children.get(key)
        if children is None:
            counter = self._requests.labels(method, route, str(status))
            children = self._children[key] = (counter, self._seconds.labels(method, route))
        children[0].inc()
        children[1].observe(seconds)

    def watch(self, gauges: Gauges) -> None:
        """Ask `gauges` at every scrape: name, help, and value by `state`.

        What is called …_total only grows.
        """
        self._registry.register(_Watched(gauges))

    def text(self) -> bytes:
        """The exposition; asks what is watched, so not for the event loop."""
        return generate_latest(self._registry)


class _Watched(Collector):
    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        for name, documentation, values in self._gauges():
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            family = kind(name, documentation, labels=("state",))
            for state, value in values.items():
                family.add_metric((state,), value)
            yield family

    def describe(self) -> Iterable[Metric]:
        return ()
