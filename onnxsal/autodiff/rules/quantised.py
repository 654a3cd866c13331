"""Rules: quantised."""
