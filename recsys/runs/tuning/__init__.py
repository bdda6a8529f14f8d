"""Looking for better values: trials of one space, on the same rows."""
