"""`/accounts` and `/account/…`: what a payer has in the market, and what anybody did there."""

from tallystick_node.explorer.errors import NotFound
from tallystick_node.explorer.pages.asking import FEW
from tallystick_node.explorer.pages.frame import Db, Pages
from tallystick_node.explorer.paging import Cutting
from tallystick_node.explorer.queries import accounts as queries
from tallystick_node.explorer.queries import channels, events, providers, transactions
from tallystick_node.explorer.queries.rows import Account, Channel, Event, Transaction
from tallystick_node.explorer.values import Address, Amount, Listing, shown

pages = Pages()


@shown
class AccountPage:
    """One address: its account, if it ever deposited, and what it did."""

    address: Address
    account: Account | None
    locked: Amount | None
    """In its channels, not settled."""
    provides: bool
    """It is a provider too: `/provider/…`."""
    channels: Listing[Channel]
    """The last that it pays through; `/channels?payer=…` has all."""
    transactions: Listing[Transaction]
    """The last that it sent; `/transactions?sender=…` has all."""
    events: Listing[Event]
    """Of its account."""


@pages.table("/accounts", "accounts.html")
async def accounts(db: Db, cut: Cutting) -> Listing[Account]:
    """Payers' accounts, those that paid most first."""
    return await queries.accounts(db, cut)


@pages.page("/account/{address}", "account.html")
async def account(address: Address, db: Db, cut: Cutting) -> AccountPage:
    """One address: what it has in the market and what it did there."""
    found = await queries.account(db, address)
    page = AccountPage(
        address=address,
        account=found,
        locked=None if found is None else found.locked,
        provides=await providers.provider(db, address) is not None,
        channels=await channels.channels(db, FEW, payer=address),
        transactions=await transactions.transactions(db, FEW, transactions.Only(sender=address)),
        events=await events.of_payer(db, cut, address),
    )
    if not (page.account or page.provides or page.transactions.rows or page.channels.rows):
        raise NotFound("This address never had anything to do with the market.")
    return page
