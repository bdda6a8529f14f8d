"""What losses, metrics and balances refuse, from what they say that they take."""

import inspect

import pytest

from recsys import metrics
from recsys.metrics.streaming.exact import RowMetric
from recsys.train import balance, losses
from tests.feature.test_constraints import bad_values

REQUIRED = {
    "group": "user",
    "by": "place",
    "auc_base": 0.7,
    "threshold": 0.5,
    "gamma": {"a": 1.5},
}


def _made(module):
    for name in getattr(module, "__all__", vars(module)):
        each = getattr(module, name)
        if inspect.isclass(each) and hasattr(each, "_constraints"):
            parameters = inspect.signature(each).parameters
            given = {
                key: REQUIRED[key]
                for key, parameter in parameters.items()
                if parameter.default is parameter.empty
                and parameter.kind is not parameter.VAR_KEYWORD
            }
            if issubclass(each, RowMetric):
                given["capacity"] = 9
            keys = [key for key in each._constraints if key in parameters]
            yield pytest.param(each, given, keys, id=name)


MADE = [case for module in (metrics, losses, balance) for case in _made(module)]


@pytest.mark.parametrize(("cls", "given", "keys"), MADE)
def test_a_bad_value_is_one_error_that_names_it(cls, given, keys):
    cls(**given)
    for key in keys:
        for value in bad_values(cls._constraints[key]):
            with pytest.raises(ValueError) as refused:
                cls(**{**given, key: value})
            text = str(refused.value)
            assert text.startswith(cls.__name__), (value, text)
            assert f": {key} must be " in text, (value, text)
            assert text.endswith(f"Received: {key}={value!r}"), (value, text)


def test_all_kinds_have_constraints():
    names = {case.id for case in MADE}
    assert {"FocalLoss", "CombinedLoss", "AUC", "NDCG", "GradNorm", "F1Score"} <= names
