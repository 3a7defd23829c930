"""Every error has a code of its own, a place in the tree, a meaning, and a row in the docs."""

import pickle
import re
from pathlib import Path

import pytest

from tallystick.protocol import errors
from tallystick.protocol.errors import (
    CreditError,
    DrawPending,
    MarketError,
    VoucherExceedsCap,
    WorstCaseExceedsCredit,
)

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
EVERY = [
    item
    for item in vars(errors).values()
    if isinstance(item, type) and issubclass(item, MarketError) and item.__module__ == errors.__name__
]
BRANCHES = [error for error in EVERY if error.__base__ is MarketError]


def tree():
    """{name: parent's name}, as the docstring draws it: a branch's leaves stand on the lines below it."""
    parents, branch = {}, None
    for line in errors.__doc__.split("\n\n")[1].splitlines():
        names = re.findall(r"[├└]─ (\w+)", line)
        if line.startswith(("├", "└")):
            branch, *names = names
            parents[branch] = "MarketError"
        parents |= dict.fromkeys(names, branch)
    return parents


def test_the_docstring_draws_the_tree():
    assert tree() == {error.__name__: error.__base__.__name__ for error in EVERY if error is not MarketError}


def test_no_two_errors_share_a_code():
    codes = [error.code for error in EVERY]

    assert sorted(set(codes)) == sorted(codes)


@pytest.mark.parametrize("error", EVERY, ids=lambda error: error.__name__)
def test_the_code_is_the_name_in_kebab_case(error):
    assert error.code == re.sub(r"(?<=[a-z])(?=[A-Z])", "-", error.__name__).lower()


@pytest.mark.parametrize("error", EVERY, ids=lambda error: error.__name__)
def test_it_says_what_it_means(error):
    assert error.__doc__


@pytest.mark.parametrize("error", EVERY, ids=lambda error: error.__name__)
def test_the_docs_have_its_row(error):
    retry = "yes" if error.retryable else "no"
    row = next(
        line for line in PAGE.read_text(encoding="utf-8").splitlines() if f"`{error.__name__}`" in line
    )

    assert f"`{error.code}`" in row
    assert f"| {retry} |" in row


def test_only_credit_is_worth_a_retry():
    """With the same request: time, or a payment, makes room. What can never fit does not fit later. And a
    block that is still to come."""
    assert {error for error in EVERY if error.retryable} == {DrawPending} | {
        error for error in EVERY if issubclass(error, CreditError) and error is not WorstCaseExceedsCredit
    }


def test_the_numbers_that_decided_travel_and_survive_a_process_boundary():
    error = pickle.loads(pickle.dumps(VoucherExceedsCap("The chain would not pay it.", required=5, actual=7)))

    assert (error.message, error.required, error.actual) == ("The chain would not pay it.", 5, 7)
    assert str(error) == "The chain would not pay it."
