"""The market on an imagined clock, network, chain and engines, run by the node's own decision code."""
