"""Modalities: how a user's thing becomes what a model takes."""
