"""Predicting Clicks: Estimating the Click-Through Rate for New Ads (LR).

Richardson, Dominowska and Ragno, WWW 2007, https://doi.org/10.1145/1242572.1242643

fields ─> one weight per value ─> sum and bias ─> sigmoid
"""

from collections.abc import Sequence

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.core import predict
from recsys.train.model import Model

__all__ = ["Field", "Task", "lr"]


def lr(fields: Sequence[Field], task: Task = Task("ctr")) -> Model:
    """Builds logistic regression, linear regression for a regression task.

    Parameters: the sum of the vocabularies, and one bias.

    Args:
        fields: The fields. Several values and histories are averaged.
        task: A binary or regression task.
    """
    embed = FieldEmbedder(fields)
    logit = embed.linear(fields)

    return Model(inputs=embed.inputs, outputs=predict(task, logit), name="lr")
