"""A web application to look at the market and to check it. It trusts one node of the chain, nobody else."""
