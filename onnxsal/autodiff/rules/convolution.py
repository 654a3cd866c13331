"""Rules: convolution."""
