"""Relative improvement of AUC over that of another model."""


def rela_impr(auc_model: float, auc_base: float) -> float:
    """How much further from chance an area is than another, in percent.

        RelaImpr = ((AUC_model - 1/2) / (AUC_base - 1/2) - 1) 100 %

    Args:
        auc_model: The area of the model.
        auc_base: That of the model it is compared with.

    Returns:
        Percent; NaN if the other model is at chance, or an area is NaN.

    Example:
    >>> round(rela_impr(0.8, 0.7), 6)
    50.0

    Reference:
        Yan et al., ICML 2014; Zhou et al., KDD 2018, https://arxiv.org/abs/1706.06978
    """
    if abs(auc_base - 0.5) < 1e-12:
        return float("nan")
    return ((auc_model - 0.5) / (auc_base - 0.5) - 1) * 100
