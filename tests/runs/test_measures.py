"""Metrics by name: each is the class of its function, and knows which way is better."""

import keras
import numpy as np
import pytest

from recsys import metrics
from recsys.runs.measures import direction_of, metric_of
from tests.close import close

LABEL = np.array([1, 0, 0, 1, 1, 0.0])
SCORE = np.array([0.9, 0.2, 0.6, 0.5, 0.3, 0.1])
GROUP = np.array([1, 1, 1, 2, 2, 2])


@pytest.mark.parametrize(
    "name", ["auc", "log_loss", "pcoc", "average_precision", "ece", "brier_score"]
)
def test_a_metric_is_that_of_the_function_of_its_name(name):
    metric = metric_of(name, None, 6)
    metric.update_state(LABEL[:, None], SCORE[:, None])
    assert metric.name == name
    close(float(metric.result()), getattr(metrics, name)(LABEL, SCORE), terms=6)


@pytest.mark.parametrize("name", ["gauc", "ndcg@2", "mean_average_precision@2"])
def test_a_metric_within_groups_has_the_group(name):
    metric = metric_of(name, "user", 6)
    assert (metric.name, metric.group) == (name, "user")
    metric.update_state(LABEL[:, None], SCORE[:, None], groups=GROUP)
    function, _, k = name.partition("@")
    options = {"k": int(k)} if k else {}
    wanted = getattr(metrics, function)(LABEL, SCORE, groups=GROUP, **options)
    close(float(metric.result()), wanted, terms=6)
    with pytest.raises(ValueError, match=f"{name} is a metric within groups"):
        metric_of(name, None, 6)


def test_metrics_of_numbers_are_those_of_keras():
    assert isinstance(
        metric_of("root_mean_squared_error", None, 6),
        keras.metrics.RootMeanSquaredError,
    )


@pytest.mark.parametrize("name", ["acu", "AUC", "coverage", "auc@3", "", "hinge"])
def test_another_name_is_refused(name):
    with pytest.raises(ValueError, match="a metric must be one of"):
        metric_of(name, "user", 6)


@pytest.mark.parametrize(
    ("monitor", "direction"),
    [
        ("val_auc", "max"),
        ("val_like_auc", "max"),
        ("val_auc_task_macro", "max"),
        ("val_ndcg@10", "max"),
        ("val_log_loss", "min"),
        ("val_like_log_loss", "min"),
        ("val_loss", "min"),
        ("val_root_mean_squared_error", "min"),
        ("val_log_loss_task_macro", "min"),
    ],
)
def test_more_or_less_is_better(monitor, direction):
    assert direction_of(monitor) == direction


@pytest.mark.parametrize("monitor", ["val_pcoc", "val_like_calibration_bias"])
def test_what_is_best_in_the_middle_chooses_no_epoch(monitor):
    with pytest.raises(ValueError, match="of which more, or less, is better"):
        direction_of(monitor)


def test_a_metric_holds_no_more_than_there_is():
    assert metric_of("auc", None, 100).capacity == 100
    many = metric_of("auc", None, 2**23 + 1)
    assert isinstance(many, metrics.BinnedAUC) and many.name == "auc"
