"""A whole market under load for as long as one likes, while its parts are killed: `scripts/soak`."""
