"""JSON-RPC over HTTP to an Ethereum node: raw, synchronous, safe to share between threads.

It knows no contract and no transaction. Whatever a node answers ends as a result, a ChainUnavailable or an
RpcError, and within a time: a node that sends a byte now and then does not hold a thread for ever.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import httpx2
import orjson

from tallystick.chain.errors import ChainUnavailable, RpcError
from tallystick.chain.line import Line, TooLate, TooLong

if TYPE_CHECKING:
    import ssl

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_WHOLE: Final = 6
"""A call may take so many times as long as the node may be silent."""
_SHOWN: Final = 200
"""Characters of a node's own words."""
_LONGEST: Final = 256 << 20
"""Bytes of one answer: a hundred thousand logs take a third of it."""


class Rpc:
    """One node. Raises ChainUnavailable when it does not answer, and RpcError when it refuses."""

    def __init__(self, url: str, timeout_s: float = 10):
        """`timeout_s`: how long the node may be silent."""
        self.url = url
        self._ids = count(1)
        self._lock = threading.Lock()
        self._timeout_s = timeout_s
        self._lines: list[Line] = []
        self._idle: list[Line] = []

    def call(self, method: str, *params: Any) -> Any:
        """The result of one method, as JSON."""
        request = self._request(method, params)
        answer = self._post(request)
        if not isinstance(answer, dict):
            raise self._nonsense("something that is not JSON-RPC")
        if answer.get("error") is None and answer.get("id") != request["id"]:
            raise self._nonsense("another question than the one asked")
        return self._result(answer)

    def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """The results of many, in order, in one round trip; raises the first error."""
        outcomes = self.outcomes(requests)
        for outcome in outcomes:
            if isinstance(outcome, RpcError):
                raise outcome
        return outcomes

    def outcomes(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """The same, each refusal in its place as an RpcError; raises one where the whole batch is refused."""
        if not requests:
            return []
        body = [self._request(method, params) for method, params in requests]
        answers = self._post(body)
        if isinstance(answers, dict) and "error" in answers:
            self._result(answers)  # The whole batch was refused.
        try:
            by_id = {answer["id"]: answer for answer in answers if isinstance(answer, dict)}
            ordered = [by_id[item["id"]] for item in body]
        except (TypeError, KeyError) as error:
            raise self._nonsense("a part of a batch only") from error
        return [self._outcome(answer) for answer in ordered]

    def close(self) -> None:
        with self._lock:
            for line in self._lines:
                line.close()

    @property
    def place(self) -> str:
        """Where the node is, without the key that a hosted node's URL often ends in."""
        try:
            parts = urlsplit(self.url)
            return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"
        except ValueError:
            return "an address that is no URL"

    def _request(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}

    @property
    def _is_near(self) -> bool:
        return urlsplit(self.url).hostname in _LOOPBACK

    @cached_property
    def _context(self) -> "ssl.SSLContext":
        """Of all lines: to read whom one trusts takes a while, and a node on this machine is not asked."""
        if self._is_near and urlsplit(self.url).scheme == "http":
            import ssl

            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return httpx2.create_ssl_context(trust_env=not self._is_near)

    @contextmanager
    def _line(self) -> Iterator[Line]:
        """That nobody else uses meanwhile."""
        with self._lock:
            line = self._idle.pop() if self._idle else self._new_line()
        try:
            yield line
        finally:
            with self._lock:
                self._idle.append(line)

    def _new_line(self) -> Line:
        whole_s = _WHOLE * self._timeout_s
        line = Line(self._context, silence_s=self._timeout_s, whole_s=whole_s, trust_env=not self._is_near)
        self._lines.append(line)
        return line

    def _post(self, body: Any) -> Any:
        try:
            with self._line() as line:
                status, content = line.post(self.url, orjson.dumps(body), _LONGEST)
        except TooLate as error:
            raise self._nonsense(f"no whole answer in {_WHOLE * self._timeout_s:.0f} seconds") from error
        except TooLong as error:
            raise self._nonsense(f"more than {_LONGEST} bytes") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, LookupError) as error:
            raise ChainUnavailable(
                f"The chain's node at {self.place} does not answer ({type(error).__name__}). Is it running, "
                "and is the RPC address right?"
            ) from error
        try:
            answer = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise ChainUnavailable(
                f"The node at {self.place} answered HTTP {status} without JSON.", actual=status
            ) from error
        if status == 429 or status >= 500:
            raise ChainUnavailable(
                f"The node at {self.place} answered HTTP {status}: try again later.", actual=status
            )
        return answer

    def _nonsense(self, what: str) -> ChainUnavailable:
        return ChainUnavailable(f"The node at {self.place} answered {what}.")

    def _outcome(self, answer: dict[str, Any]) -> Any:
        try:
            return self._result(answer)
        except RpcError as error:
            return error

    def _result(self, answer: dict[str, Any]) -> Any:
        error = answer.get("error")
        if error is None:
            if "result" not in answer:
                raise self._nonsense("neither a result nor an error")
            return answer["result"]
        if not isinstance(error, dict):
            raise RpcError(f"The node refused: {shown(error)}", number=0)
        number = error.get("code")
        raise RpcError(
            f"The node refused: {shown(error.get('message'))}",
            number=number if isinstance(number, int) else 0,
            data=_revert_data(error.get("data")),
        )


def _revert_data(data: object) -> bytes:
    """What the contract returned as it reverted; nothing where the node wrote no hex."""
    if isinstance(data, dict):  # Some nodes wrap it.
        data = data.get("data")
    try:
        return bytes.fromhex(data[2:]) if isinstance(data, str) and data.startswith("0x") else b""
    except ValueError:
        return b""


def shown(answer: object) -> str:
    """The beginning of what a node said, for an error's sentence: it may be lists in lists without end."""
    try:
        return str(answer)[:_SHOWN]
    except RecursionError:
        return f"a deeply nested {type(answer).__name__}"


def quantity(answer: object, *, bits: int = 256) -> int:
    """A number as nodes write it, `0x…`; raises ChainUnavailable where it is none, or absurd."""
    if isinstance(answer, str) and answer.startswith("0x") and 2 < len(answer) <= 2 + bits // 4:
        try:
            value = int(answer[2:], 16)
        except ValueError:
            pass
        else:
            if 0 <= value < 1 << bits:
                return value
    raise ChainUnavailable(f"The node answered {shown(answer)!r} where a number was asked for.")
