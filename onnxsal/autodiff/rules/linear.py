"""Rules: linear."""
