"""Runs of match models: which items each user should get, out of all of them."""
