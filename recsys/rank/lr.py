"""LR: Predicting Clicks, Estimating the Click-Through Rate for New Ads.

Richardson, Dominowska and Ragno, WWW 2007, https://doi.org/10.1145/1242572.1242643

    fields ─> one weight per value ─> sum and bias ─> sigmoid
"""

from collections.abc import Sequence

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.heads import predict
from recsys.train.factory import factory
from recsys.train.model import Model

__all__ = ["Field", "Task", "lr"]


@factory()
def lr(fields: Sequence[Field], task: Task = Task("ctr")) -> Model:
    """Builds logistic regression, linear regression for a regression task.

    For a multiclass task it is multinomial regression: each class has weights and a
    bias of its own, and the prediction is the softmax of their sums.

    Parameters: the sum of the vocabularies, and one bias; for each class.

    Args:
        fields: The fields. Several values and histories are averaged.
        task: The task.
    """
    embed = FieldEmbedder(fields)
    logit = embed.linear(fields, task.num_classes)

    return Model(inputs=embed.inputs, outputs=predict(task, logit), name="lr")
