"""Losses in float64 NumPy, row by row and pair by pair; and gradients on any backend.

Each oracle takes labels, logits, weights and groups and returns what a loss is made of:
a list of (weight, loss), one for each thing that is compared.
"""

import keras
import numpy as np


def softplus(x):
    return np.logaddexp(0, x)


def rows_of(loss):
    def oracle(y, z, w, g):
        return [(w[i], loss(y[i], z[i])) for i in range(len(y)) if w[i] > 0]

    return oracle


def cross_entropy(y, z):
    return -(y * -softplus(-z) + (1 - y) * -softplus(z))


def weighted(y, z, c=3.0, e=0.1):
    y = y * (1 - e) + e / 2
    return c * y * softplus(-z) + (1 - y) * softplus(z)


def focal(y, z, gamma=2.0, alpha=0.25):
    sign = 1 if y else -1
    p_wrong = np.exp(-softplus(sign * z))
    return (alpha if y else 1 - alpha) * p_wrong**gamma * softplus(-sign * z)


def watch_time(y, z):
    return y * softplus(-z) if y > 0 else softplus(z)


def pairs(of_difference):
    def oracle(y, z, w, g):
        return [
            (w[i] * w[j], of_difference(z[i] - z[j]))
            for i in range(len(y))
            for j in range(len(y))
            if y[i] > y[j] and g[i] == g[j] and w[i] * w[j] > 0
        ]

    return oracle


def listwise(y, z, w, g):
    terms = []
    for group in np.unique(g):
        mine = [i for i in range(len(y)) if g[i] == group and w[i] > 0]
        total = sum(y[i] for i in mine)
        if total > 0:
            log_sum = np.logaddexp.reduce([z[i] for i in mine])
            share = [y[i] / total for i in mine]
            weight = sum(s * w[i] for s, i in zip(share, mine, strict=True))
            loss = sum(
                s * w[i] * (log_sum - z[i]) for s, i in zip(share, mine, strict=True)
            )
            terms.append((weight, loss / weight))
    return terms


def jrc(alpha, exclude):
    def oracle(y, z, w, g):
        terms = []
        for i in range(len(y)):
            if w[i] > 0:
                mine = int(y[i])
                context = [
                    z[j, mine]
                    for j in range(len(y))
                    if g[j] == g[i] and w[j] > 0
                    if j == i or not exclude or y[j] != y[i]
                ]
                ranking = np.logaddexp.reduce(context) - z[i, mine]
                calibration = cross_entropy(y[i], z[i, 1] - z[i, 0])
                terms.append((w[i], alpha * calibration + (1 - alpha) * ranking))
        return terms

    return oracle


def reduced(terms, reduction, rows):
    """From (weight, loss) to a number; `rows` is the divisor of Keras' mean."""
    total = sum(weight * loss for weight, loss in terms)
    if reduction == "sum":
        return total
    if reduction == "mean_with_sample_weight":
        return total / (sum(weight for weight, _ in terms) or 1)
    return total / ((len(terms) if rows is None else rows) or 1)


def value_and_gradient(loss, z):
    """Of a function of one tensor, on the backend that is set."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        x = tf.Variable(z)
        with tf.GradientTape() as tape:
            value = loss(x)
        gradient = tape.gradient(value, x)
        return float(value), np.asarray(gradient)
    if backend == "jax":
        import jax

        value, gradient = jax.value_and_grad(loss)(z)
        return float(value), np.asarray(gradient)
    import torch

    x = torch.tensor(z, requires_grad=True)
    value = loss(x)
    value.backward()
    return float(value.detach()), x.grad.numpy()


def slope(of, z, step=1e-5):
    """Central differences."""
    gradient = np.zeros(z.shape)
    for at in np.ndindex(z.shape):
        up, down = z.copy(), z.copy()
        up[at] += step
        down[at] -= step
        gradient[at] = (of(up) - of(down)) / (2 * step)
    return gradient
