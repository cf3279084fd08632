"""The reader processes, shared out among slides."""


class ReaderPool:
    def __init__(self, most: int) -> None: ...

    async def start(self) -> None:
        """Begin."""

    async def close(self) -> None:
        """End."""
