"""The text of an answer as it grows. It knows neither models nor tokens."""

import codecs


class Wording:
    """Bytes in, text out, cut at the first stop string.

    Bytes that are no whole character yet wait for the rest of it; characters that may begin a stop string
    wait until it is plain that they do not.
    """

    def __init__(self, stops: tuple[str, ...], *, include_stop: bool = False) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stops = stops
        self._include = include_stop
        self._reach = max(map(len, stops), default=1) - 1
        """How many characters a stop string may have before the one that completes it."""
        self._window = ""
        self._shown = 0
        """How much of the window was let out. The rest waits."""

    def add(self, data: bytes, *, may_stop: bool = True) -> tuple[str, str | None]:
        """What may be shown now, and the stop string that ends the answer here, if one does."""
        text = self._decoder.decode(data)
        return self._let_out(text, keep=0 if self._include else self._reach, may_stop=may_stop)

    def rest(self) -> tuple[str, str | None]:
        """The same when nothing follows any more."""
        return self._let_out(self._decoder.decode(b"", final=True), keep=0, may_stop=True)

    def _let_out(self, text: str, *, keep: int, may_stop: bool) -> tuple[str, str | None]:
        window, shown = self._window + text, self._shown
        found = [(at, stop) for stop in self._stops if may_stop and (at := window.find(stop)) >= 0]
        if found:
            at, stop = min(found)
            return window[shown : at + len(stop) if self._include else at], stop
        end = max(shown, len(window) - keep)
        forgotten = max(0, min(end, len(window) - self._reach))
        self._window, self._shown = window[forgotten:], end - forgotten
        return window[shown:end], None
