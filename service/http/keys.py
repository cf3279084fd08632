"""API keys and browser sessions."""

from ..records.database import Records


class KeyStore:
    def __init__(self, records: Records) -> None: ...
