"""The commands as click declares them, one file each; what is heavy is imported only inside the one that needs it."""
