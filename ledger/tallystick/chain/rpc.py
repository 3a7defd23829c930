"""JSON-RPC over HTTP to an Ethereum node: raw, synchronous, safe to share between threads.

It knows no contract and no transaction.
"""

import threading
from collections.abc import Sequence
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import httpx2
import orjson

from tallystick.chain.errors import ChainUnavailable, RpcError

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Rpc:
    """One node. Raises ChainUnavailable when it does not answer, and RpcError when it refuses."""

    def __init__(self, url: str, timeout_s: float = 10):
        self.url = url
        self._ids = count(1)
        self._lock = threading.Lock()
        self._timeout_s = timeout_s
        self._client: httpx2.Client | None = None

    def call(self, method: str, *params: Any) -> Any:
        """The result of one method, as JSON."""
        answer = self._post(self._request(method, params))
        if not isinstance(answer, dict):
            raise ChainUnavailable(f"The node at {self._place} answered something that is not JSON-RPC.")
        return _result(answer)

    def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """The results of many, in order, in one round trip; raises the first error."""
        if not requests:
            return []
        body = [self._request(method, params) for method, params in requests]
        answers = self._post(body)
        try:
            by_id = {answer["id"]: answer for answer in answers}
            ordered = [by_id[item["id"]] for item in body]
        except (TypeError, KeyError) as error:
            if isinstance(answers, dict) and "error" in answers:
                _result(answers)  # The whole batch was refused.
            raise ChainUnavailable(f"The node at {self._place} left part of a batch unanswered.") from error
        return [_result(answer) for answer in ordered]

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    @property
    def _place(self) -> str:
        """Where the node is, without the key that a hosted node's URL often ends in."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"

    def _request(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}

    def _http(self) -> httpx2.Client:
        with self._lock:  # Made on first use: an SSL context takes a while.
            if self._client is None:
                loopback = urlsplit(self.url).hostname in _LOOPBACK
                self._client = httpx2.Client(timeout=self._timeout_s, trust_env=not loopback)
            return self._client

    def _post(self, body: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        try:
            response = self._http().post(self.url, content=orjson.dumps(body), headers=headers)
            answer = orjson.loads(response.content)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ChainUnavailable(
                f"The chain's node at {self._place} does not answer ({type(error).__name__}). Is it running, "
                "and is the RPC address right?"
            ) from error
        except orjson.JSONDecodeError as error:
            raise ChainUnavailable(
                f"The node at {self._place} answered HTTP {response.status_code} without JSON.",
                actual=response.status_code,
            ) from error
        if response.status_code == 429 or response.status_code >= 500:
            raise ChainUnavailable(
                f"The node at {self._place} answered HTTP {response.status_code}: try again later.",
                actual=response.status_code,
            )
        return answer


def _result(answer: dict[str, Any]) -> Any:
    error = answer.get("error")
    if error is None:
        return answer.get("result")
    if not isinstance(error, dict):
        raise RpcError(f"The node refused: {error}", number=0)
    data = error.get("data")
    if isinstance(data, dict):  # Some nodes wrap it.
        data = data.get("data")
    raw = b""
    if isinstance(data, str) and data.startswith("0x"):
        raw = bytes.fromhex(data[2:])
    number = error.get("code")
    raise RpcError(
        f"The node refused: {error.get('message')}", number=number if isinstance(number, int) else 0, data=raw
    )
