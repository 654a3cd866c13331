"""Rules: normalisation."""
