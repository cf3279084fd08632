"""Windows in, uint8 patches out: decoding runs ahead of whoever computes on them."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from .frame import Frame
from .grid import Window
from .resample import RGB
from .slide import Slide

READ_AHEAD = 1


def read_windows(
    slide: Slide, frame: Frame, windows: Iterable[Window], *, ahead: int = READ_AHEAD
) -> Iterator[tuple[Window, RGB]]:
    """Each window with the pixels of its read box, uint8 [h, w, 3], in the order given.

    At most `ahead` further windows are decoded meanwhile, on one thread, so memory stays flat; what
    windows share is decoded once.
    """
    windows = list(windows)
    planned = slide.planned(frame, [window.read for window in windows])
    with ThreadPoolExecutor(1, thread_name_prefix="extent-read") as pool:
        pending: deque[tuple[Window, Future[RGB]]] = deque()
        try:
            for window in windows:
                pending.append((window, pool.submit(planned.read, frame, window.read)))
                if len(pending) > ahead:
                    first, pixels = pending.popleft()
                    yield first, pixels.result()
            while pending:
                first, pixels = pending.popleft()
                yield first, pixels.result()
        finally:
            for _, pixels in pending:
                pixels.cancel()
