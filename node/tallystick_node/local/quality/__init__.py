"""Providers of several grades duel on this machine: `scripts/demo quality`."""
