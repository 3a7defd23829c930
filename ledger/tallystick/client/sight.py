"""What a payer sees of providers beside the chain."""

from tallystick.ports import UNSEEN, PostedOffer, Seen


class Unsighted:
    """Knows nothing of anybody."""

    def seen(self, posted: PostedOffer) -> Seen:
        return UNSEEN
