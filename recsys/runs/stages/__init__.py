"""Runs of two stages: a match model chooses items, another one ranks them."""
