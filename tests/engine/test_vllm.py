"""The embedded engine against real vLLM, on the same model: the same tokens, log-probabilities and shapes."""
