"""Who waits for news of a job hears of it."""


class Hub: ...
