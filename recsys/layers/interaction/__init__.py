"""Feature interactions, one idea a file."""
