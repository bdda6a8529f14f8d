"""Files of predictions: metrics with intervals, plots, and a paired test."""
