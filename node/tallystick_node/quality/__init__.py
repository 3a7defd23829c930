"""Judges of duels, and audits."""
