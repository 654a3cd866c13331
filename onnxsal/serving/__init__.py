"""Serving a model: its file as it is, and explanations of what it sees. Web frameworks are this floor's alone."""
