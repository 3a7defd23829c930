"""A whole market on one machine, for the demo and the tests: chain, engines, providers, a payer."""
