"""How `tally pay` pays: the SDK's transport, an OpenAI request, and the stream's text as it comes."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx2
import orjson
import typer

from tallystick.client.budget import Budget
from tallystick.client.outcome import Outcome, outcome_of
from tallystick.client.transport import BASE_URL, transport
from tallystick.protocol.units import Atoms, to_hex
from tallystick.wallet.desk import Desk
from tallystick.wallet.errors import NotServed
from tallystick.wallet.money import LIMIT, show_exactly
from tallystick.wallet.render import receipt_data
from tallystick.wallet.view import Stream, View, short

_PATIENCE_S: Final = 120


def paid(
    desk: Desk,
    model: str,
    prompt: str,
    *,
    most: Atoms,
    system: str | None,
    max_tokens: int | None,
    tokenizer: Path | None,
) -> Stream:
    """The answer's pieces, and then what it cost."""
    if prompt == "-":
        prompt = typer.get_text_stream("stdin").read()
    messages = [{"role": "system", "content": system}] if system is not None else []
    messages.append({"role": "user", "content": prompt})
    body: dict[str, Any] = {"model": model, "messages": messages, "stream": True}
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    answer = _Answer(desk, body, most, {} if tokenizer is None else {model: tokenizer})
    return Stream(answer.pieces(), answer.view)


class _Answer:
    """One paid request: its text while it comes, its outcome afterwards."""

    def __init__(self, desk: Desk, body: dict[str, Any], most: Atoms, tokenizers: Mapping[str, Path]):
        assert desk.market  # Checked before a password is asked for.
        self._desk = desk
        self._body = body
        self._tokenizers = tokenizers
        self._budget = Budget(total=LIMIT - 1, per_request=most)
        self._text: list[str] = []
        self._outcome: Outcome | None = None

    def pieces(self) -> Iterator[str]:
        """Raises NotServed, or a MarketError of the SDK."""
        settings = self._desk.settings
        paying = transport(
            self._desk.key(),
            rpc=settings.rpc,
            deployment=self._desk.deployment,
            budget=self._budget,
            home=settings.home,
            tokenizers=self._tokenizers,
        )
        with (
            httpx2.Client(transport=paying, timeout=_PATIENCE_S) as client,
            client.stream("POST", f"{BASE_URL}/chat/completions", json=self._body) as response,
        ):
            if response.status_code != httpx2.codes.OK:
                raise _refusal(response.read())
            for line in response.iter_lines():
                if piece := _piece(line):
                    self._text.append(piece)
                    yield piece
            self._outcome = outcome_of(response)

    def view(self) -> View:
        outcome = self._outcome
        assert outcome is not None, "a paid answer always has one"
        asset = self._desk.asset
        data = {
            "text": "".join(self._text),
            "provider": to_hex(outcome.provider),
            "cost": str(outcome.cost),
            "refusal": outcome.refusal.code if outcome.refusal else None,
            "cut": outcome.cut,
            "receipts": [receipt_data(item.signed) for item in outcome.receipts],
        }
        if outcome.refusal is not None:
            told = f"Not paid: the provider's receipt was refused. {outcome.refusal}"
            return View(data, f"{told} `tally fraud list` says whether it is proof of fraud.")
        if outcome.receipt is None:
            return View(data, "The provider sent no receipt: nothing is paid until it does.")
        used = sum(item.message.output_tokens for item in outcome.receipts)
        read = sum(item.message.input_tokens for item in outcome.receipts)
        cut = "Cut short by the provider. " if outcome.cut else ""
        cost = show_exactly(outcome.cost, asset)
        return View(
            data,
            f"\n{cut}{cost} to {short(outcome.provider)} for {read} tokens in and "
            f"{used} out; receipt {short(outcome.receipt.message.struct_hash())}",
        )


def _piece(line: str) -> str:
    if not line.startswith("data: {"):
        return ""
    try:
        choices = orjson.loads(line.removeprefix("data: "))["choices"]
        text = choices[0]["delta"].get("content") if choices else ""
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError):
        return ""
    return text if isinstance(text, str) else ""


def _refusal(body: bytes) -> NotServed:
    try:
        error = orjson.loads(body)["error"]
        refused = NotServed(str(error["message"]), required=error.get("required"), actual=error.get("actual"))
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return NotServed("The request was refused without a reason.")
    return refused
