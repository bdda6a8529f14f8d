"""Metrics, each a NumPy function and a streaming `keras.metrics.Metric`."""
