"""The routes that need no key. Every other has a rule (`deps.Needs`); a test sees to that."""

OPEN = frozenset(
    {
        ("GET", "/v2/health/live"),
        ("GET", "/v2/health/ready"),
        ("POST", "/v1/session"),
        ("GET", "/"),
        ("GET", "/assets/{name:path}"),
    }
)
