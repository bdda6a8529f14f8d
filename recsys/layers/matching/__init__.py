"""Losses of match models: the score of a user and an item, and what trains it."""
