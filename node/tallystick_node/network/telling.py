"""What this node knows of the network, for payers: signed messages as they came, and how old they are."""

from collections.abc import Callable
from typing import Any, Final

import orjson

from tallystick.protocol.hearsay import Heard, Hearsay, Key, Said
from tallystick.protocol.told import TOLD_LIMIT, said_to_json
from tallystick.protocol.units import Address
from tallystick_node.network.roster import Roster

STATUSES: Final = 1_000
"""In one answer: the newest."""
KEPT_MS: Final = 250
"""For which an answer is given again."""
_ROOM: Final = TOLD_LIMIT - 256


class Telling:
    """Answers are made at most so often, whoever asks; a message is written out once."""

    def __init__(self, hearsay: Hearsay, roster: Callable[[], Roster], now: Callable[[], int]):
        self._hearsay = hearsay
        self._roster = roster
        self._now = now
        self._answers: dict[tuple[str | None, bool], tuple[int, bytes]] = {}
        self._texts: dict[Key, tuple[Said, bytes]] = {}

    def answer(self, model: str | None, *, ratings: bool = False) -> bytes:
        """JSON of up to TOLD_LIMIT bytes; of all models where none is named. `ratings`: with them, which are
        most of it."""
        now = self._now()
        made = self._answers.get((model, ratings))
        if made is not None and now - made[0] < KEPT_MS:
            return made[1]
        if model is not None and model not in self._roster().providers:
            # Not kept: names of nothing are without number.
            return orjson.dumps(self._told(now, [], ratings))
        text = orjson.dumps(self._told(now, self._statuses(model), ratings))
        self._forget()
        self._answers[model, ratings] = now, text
        return text

    def _statuses(self, model: str | None) -> list[Heard]:
        if model is None:
            found = [heard for heard in self._hearsay if heard.said.key[0] == "status"]
        else:
            keys: list[Key] = [
                ("status", provider, model.encode()) for provider in self._roster().providers.get(model, ())
            ]
            found = [heard for key in keys if (heard := self._hearsay.get(key)) is not None]
        return sorted(found, key=lambda heard: -heard.at)[:STATUSES]

    def _told(self, now: int, statuses: list[Heard], ratings: bool) -> dict[str, Any]:
        """What is left out where there is no room is what comes last."""
        providers = sorted({heard.said.provider for heard in statuses})
        kinds = {
            "statuses": statuses,
            "suspicions": [heard for provider in providers for heard in self._hearsay.suspicions(provider)],
            "ratings": self._ratings(providers) if ratings else [],
        }
        told: dict[str, Any] = {"known": str(self._hearsay.known)}
        room = _ROOM
        for name, found in kinds.items():
            told[name] = []
            for heard in found:
                text = b'{"ageMs":"%d","said":%b}' % (now - heard.at, self._text(heard.said))
                room -= len(text) + 1
                if room < 0:
                    return dict.fromkeys(kinds, ()) | told
                told[name].append(orjson.Fragment(text))
        return told

    def _ratings(self, providers: list[Address]) -> list[Heard]:
        """The newest of each provider first, then the second of each: no provider's crowd out another's."""
        placed = [
            (place, -heard.at, heard)
            for provider in providers
            for place, heard in enumerate(sorted(self._hearsay.rated(provider), key=lambda heard: -heard.at))
        ]
        return [heard for _, _, heard in sorted(placed, key=lambda item: item[:2])]

    def _text(self, said: Said) -> bytes:
        known = self._texts.get(said.key)
        if known is not None and known[0] is said:
            return known[1]
        text = orjson.dumps(said_to_json(said))
        self._texts[said.key] = said, text
        return text

    def _forget(self) -> None:
        self._answers = {
            asked: made for asked, made in self._answers.items() if self._now() - made[0] < KEPT_MS
        }
        for key in [key for key in self._texts if self._hearsay.get(key) is None]:
            del self._texts[key]
