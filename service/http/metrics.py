"""What Prometheus may know."""


class Metrics: ...
