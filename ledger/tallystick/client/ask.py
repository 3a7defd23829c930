"""What a caller asks for, read from its OpenAI body, and the body that is sent for it.

The body is the caller's without `provider`, `models` and `tallystick`, and but for `return_token_ids` and
`stream_options` (usage at the end and so far: counts can be checked by it, also where a stream is cut), what
the payer's audits add, `stream` where an answer has to be streamed underneath, and `max_tokens` where the
caller set no limit and the budget does. Pure: it sends nothing and knows no channel."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeGuard

import orjson

from tallystick.client.errors import MalformedRequest, NoEligibleOffer, RequestBudgetExceeded
from tallystick.client.steering import MODELS, PROVIDER, Steering, read_models, read_steering
from tallystick.protocol.case import Case, texts_of
from tallystick.protocol.dossier import Dossier
from tallystick.protocol.errors import MarketError
from tallystick.protocol.expense import Expense
from tallystick.protocol.judging import ORDERS, requests
from tallystick.protocol.offer import Offer
from tallystick.protocol.pricing import ATTACHMENT_ALLOWANCE, attachments, cost_up
from tallystick.protocol.units import MTOK, Address, Atoms, Tokens
from tallystick.protocol.wire import AUDIT_PATH, JUDGE_PATH

CHAT_PATH: Final = "/v1/chat/completions"
COMPLETIONS_PATH: Final = "/v1/completions"

OWN: Final = "tallystick"
"""The member of a body that is for the payer alone, and goes to nobody."""
_PRIVATE: Final = "private"
_SHOWN: Final = ("duel", "audit")
"""Manners by which others than who answers read a request."""
_MANNERS: Final = ("continue", "hedge", *_SHOWN, _PRIVATE)

TEMPLATE_ALLOWANCE: Final = 512
"""Tokens that a chat template may add on its own: a default system text, the date, the roles."""
MESSAGE_ALLOWANCE: Final = 16
TOOLS_ALLOWANCE: Final = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request as the caller made it."""

    path: str
    """`CHAT_PATH`, `COMPLETIONS_PATH`, `JUDGE_PATH`, or `AUDIT_PATH`."""
    fields: Mapping[str, object]
    model: str
    fallbacks: tuple[str, ...]
    """Models that will do where nobody serves that one."""
    steering: Steering
    """What the caller wishes of the choice among providers."""
    stream: bool
    shows_usage: bool
    """The caller asked for the usage chunk of its stream."""
    shows_running_usage: bool
    """And for the usage so far in each of its chunks."""
    limit: Tokens | None
    """Output tokens of one answer, at most; None: the caller set no limit."""
    answers: int
    """Answers asked for: `n`, times the prompts of a completion."""
    size: int
    """Bytes of the body, and for each attachment what it may stand for: what its tokens are estimated by."""
    input_bound: Tokens
    """No honest count of the input is larger: a token is at least a byte of the body, or the template's."""
    continues: bool | None = None
    """An answer that breaks off is gone on with elsewhere; None: the caller did not say."""
    hedges: bool | None = None
    """Somebody else is asked too where the first one is late; None: the caller did not say."""
    duels: bool | None = None
    """Somebody else answers too, behind, and judges read both; None: the caller did not say."""
    again: bytes | None = None
    """The body that somebody has answered already: no other one is the same request to those who judge."""
    pair: int | None = None
    """That it is made for, behind its caller's back."""
    most: Atoms | None = None
    """That it may cost, with all that the call cost elsewhere; None: what the budget has for any request."""
    answer_bytes: int | None = None
    """Of its answer, at most; None: as many as the payer is ready to hold of any."""
    audits: bool | None = None
    """An auditor may be shown it; None: the caller did not say."""
    shuns: frozenset[str] = frozenset()
    """Names of whom its caller deals with in no role: they do not answer it, nor judge or audit what was
    answered."""
    added: Mapping[str, object] = field(default_factory=dict)
    """To the fields, for audits: the caller does not see what comes of it."""
    refused_by: frozenset[Address] = frozenset()
    """Providers whose engines did not take it with what audits add."""

    @property
    def output_limit(self) -> Tokens | None:
        """Output tokens of all answers together, at most."""
        return None if self.limit is None else Tokens(self.limit * self.answers)

    def asking(self, model: str) -> "Ask":
        """The same of another model."""
        return replace(self, fields={**self.fields, "model": model}, model=model)

    def limited(self, limit: Tokens) -> "Ask":
        """The same with a limit of `limit` output tokens an answer."""
        return replace(self, fields={**self.fields, "max_tokens": limit}, limit=limit)

    def audited(self, added: Mapping[str, object]) -> "Ask":
        """The same as an auditor may be shown it, with what is added for that."""
        return replace(self, audits=True, added=added)

    def bare(self, refused_by: frozenset[Address]) -> "Ask":
        """The same without what is added for audits, which these did not take."""
        return replace(self, added={}, refused_by=refused_by)

    def require(self, body: bytes, cost: Atoms) -> None:
        """Before `body` is sent for it, and the call may come to `cost`. Raises NoEligibleOffer or
        RequestBudgetExceeded."""
        if self.again is not None and body != self.again:
            raise NoEligibleOffer("It takes the request in another form alone.")
        if self.most is not None and cost > self.most:
            raise RequestBudgetExceeded(
                "It may cost more than was taken for it.", required=cost, actual=self.most
            )

    def body(self, *, stream: bool) -> bytes:
        """The bytes to send."""
        fields = {**self.fields, **self.added, "return_token_ids": True}
        if stream:
            options = self.fields.get("stream_options")
            fields["stream"] = True
            fields["stream_options"] = {
                **(options if isinstance(options, dict) else {}),
                "include_usage": True,
                "continuous_usage_stats": True,
            }
        return orjson.dumps(fields)


def read_ask(path: str, body: bytes) -> Ask:
    """The request in `body`.

    Raises
    ------
    MalformedRequest :
        Not a JSON object, or without a model, or with wishes that mean nothing here.
    """
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedRequest("The body is not JSON.") from error
    if not isinstance(fields, dict):
        raise MalformedRequest("The body is not an object that names a model.")
    model, *fallbacks = read_models(fields)
    if path == JUDGE_PATH:
        return _case_ask(fields, model)
    if path == AUDIT_PATH:
        return _dossier_ask(fields, model)
    steering, manner = read_steering(fields), read_manner(fields)
    fields = {name: value for name, value in fields.items() if name not in (PROVIDER, MODELS, OWN)}
    fields["model"] = model
    options = fields.get("stream_options")
    options = options if isinstance(options, dict) else {}
    limit = fields.get("max_completion_tokens")
    if limit is None:
        limit = fields.get("max_tokens")
    return Ask(
        path=path,
        fields=fields,
        model=model,
        fallbacks=tuple(fallbacks),
        steering=steering,
        stream=fields.get("stream") is True,
        shows_usage=options.get("include_usage") is True,
        shows_running_usage=options.get("continuous_usage_stats") is True,
        limit=Tokens(limit) if _is_count(limit) else None,
        answers=_answers(fields),
        size=len(body) + ATTACHMENT_ALLOWANCE * attachments(fields.get("messages")),
        input_bound=_input_bound(fields, body),
        continues=manner.get("continue"),
        hedges=manner.get("hedge"),
        duels=manner.get("duel"),
        audits=manner.get("audit"),
        shuns=steering.ignore,
    )


def _case_ask(fields: dict[str, object], model: str) -> Ask:
    """To judge a case: its body is for a judge alone, and costs what two questions to an engine cost."""
    try:
        case = Case.from_json(fields.get("case"))
        question, answers = texts_of(case)
        bodies = requests(model, question, *answers)
    except MarketError as error:
        raise MalformedRequest("The body holds no case that could be judged.") from error
    return _opinion_ask(JUDGE_PATH, fields, model, size=sum(map(len, bodies)), limit=1, questions=ORDERS)


def _dossier_ask(fields: dict[str, object], model: str) -> Ask:
    """To audit a dossier: its body is for an auditor alone."""
    try:
        expense = Expense.of(Dossier.from_json(fields.get("dossier")).samples)
    except MarketError as error:
        raise MalformedRequest("The body holds no dossier that could be audited.") from error
    size, limit, questions = expense.input_tokens, expense.each, expense.questions
    return _opinion_ask(AUDIT_PATH, fields, model, size=size, limit=limit, questions=questions)


def _opinion_ask(
    path: str, fields: dict[str, object], model: str, *, size: int, limit: int, questions: int
) -> Ask:
    """Somebody is to ask its own engine `questions` questions of `size` bytes in all."""
    return Ask(
        path=path,
        fields=fields,
        model=model,
        fallbacks=(),
        steering=Steering(),
        stream=False,
        shows_usage=False,
        shows_running_usage=False,
        limit=Tokens(limit),
        answers=questions,
        size=size,
        input_bound=Tokens(size + questions * TEMPLATE_ALLOWANCE),
    )


def read_manner(fields: Mapping[str, object]) -> Mapping[str, bool]:
    """What the caller says of this request alone: what is private neither duels nor is audited. Raises
    MalformedRequest."""
    manner = fields.get(OWN)
    manner = {} if manner is None else manner
    if not isinstance(manner, dict) or not all(type(manner.get(name, False)) is bool for name in _MANNERS):
        raise MalformedRequest(f"The member {OWN} says {', '.join(_MANNERS)} by true or false.")
    if strange := sorted(manner.keys() - set(_MANNERS)):
        raise MalformedRequest(f"`{OWN}.{strange[0][:40]}` is not known here.", required=", ".join(_MANNERS))
    if not manner.get(_PRIVATE):
        return manner
    if shown := [name for name in _SHOWN if manner.get(name)]:
        raise MalformedRequest(f"`{OWN}.{shown[0]}`: a private request is shown to nobody else.")
    return {**manner, **dict.fromkeys(_SHOWN, False)}


def worst_cost(ask: Ask, offer: Offer) -> Atoms:
    """The most that an honest provider can ask for, the rounding of interim receipts included."""
    limit = offer.context_length if ask.limit is None else min(ask.limit, offer.context_length)
    base = _cost(ask, offer, limit * ask.answers)
    return Atoms(base + base // 100 + 1)


def affordable_limit(ask: Ask, offer: Offer, atoms: Atoms) -> Tokens:
    """Output tokens an answer such that `worst_cost` is at most `atoms`; zero: the input alone is more."""
    left = (atoms - 1) * 100 // 101 - _cost(ask, offer, 0)
    if left <= 0:
        return Tokens(0)
    afforded = (
        left * MTOK // (offer.output_price * ask.answers) if offer.output_price else offer.context_length
    )
    return Tokens(min(afforded, max(offer.context_length - ask.input_bound, offer.context_length // 2)))


def _cost(ask: Ask, offer: Offer, output_tokens: int) -> Atoms:
    cached = ask.input_bound if offer.cached_input_price > offer.input_price else 0
    return cost_up(
        offer, input_tokens=ask.input_bound, cached_input_tokens=cached, output_tokens=output_tokens
    )


def _answers(fields: Mapping[str, object]) -> int:
    prompt = fields.get("prompt")
    prompts = len(prompt) if isinstance(prompt, list) and not all(map(_is_count, prompt)) else 1
    counts = [value for name in ("n", "best_of") if _is_count(value := fields.get(name))]
    return max([1, *counts]) * max(1, prompts)


def _input_bound(fields: Mapping[str, object], body: bytes) -> Tokens:
    messages = fields.get("messages")
    bound = len(body) + TEMPLATE_ALLOWANCE
    bound += MESSAGE_ALLOWANCE * len(messages if isinstance(messages, list) else ())
    bound += ATTACHMENT_ALLOWANCE * attachments(messages)
    if fields.get("tools") or fields.get("functions"):
        bound += TOOLS_ALLOWANCE
    return Tokens(bound)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
