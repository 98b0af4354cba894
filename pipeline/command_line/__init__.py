"""The command line trine."""
