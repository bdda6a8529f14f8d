"""Keras layers: they know tensors, never a field."""
