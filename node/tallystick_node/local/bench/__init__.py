"""The figures that the market is held to, each beside its baseline and its target: `scripts/bench`."""
