"""Ranking models: how likely a user acts on an item."""
