"""What this node knows of the network, for payers: signed messages as they came, and how old they are."""

from collections.abc import Callable
from typing import Any, Final

import orjson

from tallystick.protocol.hearsay import Heard, Hearsay, Key, Said
from tallystick.protocol.told import said_to_json
from tallystick_node.network.roster import Roster

STATUSES: Final = 1_000
"""In one answer: the newest."""
KEPT_MS: Final = 250
"""For which an answer is given again."""


class Telling:
    """Answers are made at most so often, whoever asks; a message is written out once."""

    def __init__(self, hearsay: Hearsay, roster: Callable[[], Roster], now: Callable[[], int]):
        self._hearsay = hearsay
        self._roster = roster
        self._now = now
        self._answers: dict[str | None, tuple[int, bytes]] = {}
        self._texts: dict[Key, tuple[Said, orjson.Fragment]] = {}

    def answer(self, model: str | None) -> bytes:
        """JSON; of all models where none is named."""
        now = self._now()
        made = self._answers.get(model)
        if made is not None and now - made[0] < KEPT_MS:
            return made[1]
        if model is not None and not self._is_offered(model):
            return orjson.dumps(self._told(now, []))  # Not kept: names of nothing are without number.
        text = orjson.dumps(self._told(now, self._statuses(model)))
        self._forget()
        self._answers[model] = now, text
        return text

    def _is_offered(self, model: str) -> bool:
        return any(model in peer.models.values() for peer in self._roster().peers.values())

    def _statuses(self, model: str | None) -> list[Heard]:
        wanted = None if model is None else model.encode()
        statuses = [
            heard
            for heard in self._hearsay
            if heard.said.key[0] == "status" and wanted in (None, heard.said.key[2])
        ]
        return sorted(statuses, key=lambda heard: -heard.at)[:STATUSES]

    def _told(self, now: int, statuses: list[Heard]) -> dict[str, Any]:
        providers = sorted({heard.said.provider for heard in statuses})
        suspicions = [heard for provider in providers for heard in self._hearsay.suspicions(provider)]
        ratings = [heard for provider in providers for heard in self._hearsay.rated(provider)]
        kinds = {"statuses": statuses, "suspicions": suspicions, "ratings": ratings}
        told: dict[str, Any] = {"known": str(self._hearsay.known)}
        for name, found in kinds.items():
            told[name] = [{"ageMs": str(now - heard.at), "said": self._text(heard.said)} for heard in found]
        return told

    def _text(self, said: Said) -> orjson.Fragment:
        known = self._texts.get(said.key)
        if known is not None and known[0] is said:
            return known[1]
        text = orjson.Fragment(orjson.dumps(said_to_json(said)))
        self._texts[said.key] = said, text
        return text

    def _forget(self) -> None:
        self._answers = {
            model: made for model, made in self._answers.items() if self._now() - made[0] < KEPT_MS
        }
        for key in [key for key in self._texts if self._hearsay.get(key) is None]:
            del self._texts[key]
