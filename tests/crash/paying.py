"""A payer's process: told in JSON what to do, it does it with the SDK and says what came of it.

It asks again, as any program would, what a broken connection or a gateway that starts again kept from it.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import httpx2

import tallystick
from tallystick.client.recovering import recover
from tallystick.client.session import Session
from tallystick.protocol.signed import Key

TOLD: dict[str, Any] = json.loads(sys.argv[1])
URL = tallystick.BASE_URL + "/chat/completions"
PATIENCE_S = 60


def ask(client: httpx2.Client, *, words: int, stream: bool) -> str:
    body = {
        "model": "echo",
        "messages": [{"role": "user", "content": "word " * words}],
        "max_tokens": words,
        "stream": stream,
    }
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            answer = client.post(URL, json=body)
            code = "" if answer.status_code == 200 else str(answer.json()["error"]["code"])
        except httpx2.TransportError as error:
            code = type(error).__name__
        if not code or time.monotonic() > deadline:
            return code
        time.sleep(0.1)


def clear_up(session: Session) -> str:
    """Wakes the clerk, who sees to what an earlier process left, and waits for him."""
    session.clerk.refresh()
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        left = list(session.purse.leased.values())
        if left and not any(
            channel.running or channel.state == "refused" or channel.tally.count > channel.delivered
            for channel in left
        ):
            return ""
        time.sleep(0.05)
    return "not-settled"


def main() -> None:
    options = {
        "rpc": TOLD["rpc"],
        "deployment": Path(TOLD["deployment"]),
        "budget": tallystick.Budget(total=20_000_000, per_request=50_000),
        "home": Path(TOLD["home"]),
        "transactions": True,
    }
    transport = tallystick.transport(Key(bytes.fromhex(TOLD["wallet"])), **options)
    came: list[str] = []
    with httpx2.Client(transport=transport, timeout=60) as client:
        for job in TOLD["jobs"]:
            match job:
                case "whole":
                    came.append(ask(client, words=8, stream=False))
                case "stream":
                    came.append(ask(client, words=8, stream=True))
                case "long":
                    came.append(ask(client, words=400, stream=True))
                case "close":
                    closed = tallystick.Client.of(transport.session).close_channels()
                    came.append("" if all(item.submitted for item in closed) else "not-closed")
                case "wake":
                    came.append(clear_up(transport.session))
                case "recover":
                    came.append("" if all(item.reached for item in recover(transport.session)) else "away")
    print(json.dumps(came))


if __name__ == "__main__":
    main()
