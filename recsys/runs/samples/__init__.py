"""From events to the rows that train, as Ibis expressions."""

from recsys.runs.samples.checks import check_samples
from recsys.runs.samples.write import Written, write_samples

__all__ = ["Written", "check_samples", "write_samples"]
