"""The network shown with real processes: `scripts/demo network`."""
