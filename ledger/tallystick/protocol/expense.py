"""What an audit costs at most, in tokens: both sides reserve for it by the same count.

Of each answer two questions are asked: the request again, of as many tokens as the answer has where it is to
be repeated, and a prefill of prompt and answer, of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from tallystick.protocol.sample import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Expense:
    input_tokens: int
    """A prompt has no more tokens than its request has bytes."""
    each: int
    """Output tokens of a question, in the mean, rounded up."""
    questions: int

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Self:
        questions, output = 2 * len(samples), sum(len(sample.ids) + 1 for sample in samples)
        return cls(
            input_tokens=sum(2 * len(sample.body) + len(sample.ids) for sample in samples),
            each=-(-output // questions),
            questions=questions,
        )
