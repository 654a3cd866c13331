"""The explainer as one file."""
