"""Multi-domain models: one network for several surfaces."""
