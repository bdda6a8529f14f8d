"""How the losses of several tasks become one: `Model.compile(balance=...)`.

    model.compile("adam", loss, balance="uncertainty")
    model.compile("adam", loss, balance=GradNorm(alpha=1.5))

`Uncertainty`, `DWA` and `Decay` weigh losses, on every backend; `GradNorm` and `PCGrad`
need the gradients of each task and TensorFlow. All of them start from `loss_weights`,
concern training alone (evaluation reports the plain sum), and leave the losses of loss
layers and penalties as they are. Their state is a part of the model: files, checkpoints
and `get_weights` have it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature._constraints import Integer, MapOf, Maybe, Number, Text, check
from recsys.layers.kept import Kept
from recsys.saving import saved


class Balance:
    """What the ways to balance share.

    One object serves one model: `compile` makes a copy, `model.balance`.
    """

    def build(self, model: Any, kinds: Mapping[str, str]) -> None:
        """Adds the state to a model.

        Args:
            model: The model.
            kinds: Its tasks that have a loss, each with its kind.
        """
        self.kinds = dict(kinds)
        self.kept = Kept()
        self.variables = [
            model.add_state(name, initializer, shape, trainable)
            for name, initializer, shape, trainable in self.state()
        ]

    def state(self) -> Sequence[tuple[str, Any, tuple[int, ...], bool]]:
        """Returns name, initializer, shape and whether trainable, for each weight."""
        return ()

    def total(
        self, losses: Mapping[str, Any], present: Mapping[str, Any], rest: Any
    ) -> Any:
        """Returns the loss of a training step.

        Args:
            losses: Loss of each task, scalars.
            present: For each task where its labels are not missing, `(batch,)`, 0 or
                1; `None` means all.
            rest: What no task has a part in, a scalar.
        """
        weights = ops.unstack(self.task_weights(), len(self.kinds))
        pairs = zip(weights, losses.values(), strict=True)
        return sum((weight * loss for weight, loss in pairs), start=rest)

    def task_weights(self) -> Any:
        """Returns the factor on the loss of each task, `(num_tasks,)`."""
        return ops.ones((len(self.kinds),))

    def after_epoch(self, logs: Mapping[str, Any]) -> None:
        """Is called at the end of each epoch with its logs."""

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Balance":
        """Returns a new object, without state."""
        return cls(**config)


@saved
class Uncertainty(Balance):
    r"""Weighs by the uncertainty of each task, which is trained (Kendall et al. 2018).

        L = \sum_t c_t e^{-s_t} L_t + s_t / 2,   s_t = \log \sigma_t^2, 0 at the start

    c is 1/2 for regression and 1 for classification. At a given L_t the best s_t is
    log(2 c_t L_t). The s_t know no weight decay; a task without labels in a batch adds
    neither term.

    Reference:
        Multi-Task Learning Using Uncertainty to Weigh Losses, CVPR 2018, eq. 7-10.
    """

    def state(self) -> Sequence[tuple[str, Any, tuple[int, ...], bool]]:
        return [("balance_log_variance", "zeros", (len(self.kinds),), True)]

    def task_weights(self) -> Any:
        half = [0.5 if kind == "regression" else 1.0 for kind in self.kinds.values()]
        return ops.convert_to_tensor(half) * ops.exp(-self.variables[0])

    def total(
        self, losses: Mapping[str, Any], present: Mapping[str, Any], rest: Any
    ) -> Any:
        total = super().total(losses, present, rest)
        spread = ops.unstack(ops.convert_to_tensor(self.variables[0]), len(self.kinds))
        for s, name in zip(spread, losses, strict=True):
            here = present[name]
            total += 0.5 * s * (1.0 if here is None else ops.max(here))
        return total


@saved
class DWA(Balance):
    r"""Weighs more what has fallen less in the last epoch (Liu et al. 2019).

        \lambda_t = T softmax_t(r_t / \tau),   r_t = L_t(e - 1) / L_t(e - 2)

    L_t(e) is the mean training loss of epoch e, as in the logs. The weights of the
    first two epochs are 1.

    Args:
        temperature: \tau; the larger, the more even the weights.
    Reference:
        End-to-End Multi-Task Learning with Attention, CVPR 2019, eq. 7 (dynamic weight
        average).
    """

    _constraints = {"temperature": Number(above=0)}

    def __init__(self, temperature: float = 2.0) -> None:
        self.temperature = temperature
        check(self)

    def state(self) -> Sequence[tuple[str, Any, tuple[int, ...], bool]]:
        unknown = keras.initializers.Constant(
            -1.0
        )  # the last two epochs, the older first
        return [("balance_past_losses", unknown, (2, len(self.kinds)), False)]

    def task_weights(self) -> Any:
        before, last = ops.unstack(ops.convert_to_tensor(self.variables[0]), 2)
        ratio = last / ops.maximum(before, 1e-12) / self.temperature
        weights = len(self.kinds) * ops.softmax(ops.expand_dims(ratio, 0))[0]
        return ops.where(ops.min(before) < 0, 1.0, weights)

    def after_epoch(self, logs: Mapping[str, Any]) -> None:
        if len(self.kinds) > 1:  # Keras logs no loss of a single task
            last = ops.convert_to_numpy(self.variables[0])[1]
            found = [float(logs[f"{name}_loss"]) for name in self.kinds]
            self.variables[0].assign([list(last), found])

    def get_config(self) -> dict[str, Any]:
        return {"temperature": self.temperature}


@saved
class Decay(Balance):
    r"""Lets the weight of a task fall, or rise, from epoch to epoch (Tang et al. 2020).

        \lambda_t(e) = \omega_t \gamma_t^e,   e = 0, 1, ...

    \omega is `loss_weights`.

    Args:
        gamma: \gamma above 0 of tasks by name; 1 of the others.
    Raises:
        ValueError: If a \gamma is not above 0, or, at `compile`, of no task.
    Reference:
        Progressive Layered Extraction, RecSys 2020, section 4.4.
    """

    _constraints = {"gamma": MapOf(Number(above=0), "a number above 0 for each task")}

    def __init__(self, gamma: Mapping[str, float]) -> None:
        self.gamma = gamma
        check(self)

    def build(self, model: Any, kinds: Mapping[str, str]) -> None:
        if unknown := self.gamma.keys() - kinds.keys():
            raise ValueError(
                f"gamma must be of tasks with a loss, {list(kinds)}. "
                f"Received: {sorted(unknown)}"
            )
        super().build(model, kinds)

    def state(self) -> Sequence[tuple[str, Any, tuple[int, ...], bool]]:
        return [("balance_epoch", "zeros", (), False)]

    def task_weights(self) -> Any:
        gamma = [self.gamma.get(name, 1.0) for name in self.kinds]
        epoch = ops.convert_to_tensor(self.variables[0])
        return ops.power(ops.convert_to_tensor(gamma, "float32"), epoch)

    def after_epoch(self, logs: Mapping[str, Any]) -> None:
        self.variables[0].assign_add(1.0)

    def get_config(self) -> dict[str, Any]:
        return {"gamma": self.gamma}


class GradientBalance(Balance):
    """What works on the gradients of the tasks, by TensorFlow."""

    def build(self, model: Any, kinds: Mapping[str, str]) -> None:
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                f"{type(self).__name__} needs the gradients of each task: it works on "
                f"TensorFlow only. Received: backend {keras.backend.backend()!r}"
            )
        super().build(model, kinds)

    def total(
        self, losses: Mapping[str, Any], present: Mapping[str, Any], rest: Any
    ) -> Any:
        rest = ops.convert_to_tensor(rest, "float32")
        total = super().total(losses, present, rest)
        self.kept.put(([*losses.values()], rest, total))
        return total

    def gradients(self, tape: Any, model: Any, scale: Any) -> list[Any]:
        """Returns the gradient of each trainable weight of a model, or `None`.

        Args:
            tape: Persistent, with the forward pass and the loss.
            model: The model.
            scale: Function on losses, for mixed precision; the tape watches it.
        """
        raise NotImplementedError


@saved
class GradNorm(GradientBalance):
    r"""Lets all tasks pull alike at what they share (Chen et al. 2018).

        G_t = ||\nabla_W w_t L_t||,   r_t = L_t / L_t(0), over its mean
        w moves down the gradient of \sum_t |G_t - mean(G) r_t^\alpha|

    and is then clipped to 0.001 at least and scaled to the sum T. L_t(0) is the loss of
    the first batch that has labels of t. The w are moved by plain gradient descent.

    Args:
        alpha: How much more a task that lags behind may pull.
        learning_rate: Of the w.
        layer: Name of the layer whose last kernel is W. Default: the last layer of the
            model, in its order, that all tasks train.
    Raises:
        ValueError: If there is no such layer.
    Reference:
        GradNorm: Gradient Normalization for Adaptive Loss Balancing, ICML 2018, eq.
        1-2, algorithm 1.
    """

    _constraints = {
        "alpha": Number(0),
        "learning_rate": Number(0),
        "layer": Maybe(Text()),
    }

    def __init__(
        self, alpha: float = 1.5, learning_rate: float = 0.025, layer: str | None = None
    ) -> None:
        self.alpha = alpha
        self.learning_rate = learning_rate
        self.layer = layer
        check(self)

    def state(self) -> Sequence[tuple[str, Any, tuple[int, ...], bool]]:
        shape = (len(self.kinds),)
        return [
            ("balance_weights", "ones", shape, False),
            ("balance_first_losses", "zeros", shape, False),
        ]

    def task_weights(self) -> Any:
        return ops.convert_to_tensor(self.variables[0])

    def gradients(self, tape: Any, model: Any, scale: Any) -> list[Any]:
        losses, _, total = self.kept.take()[-1]
        with tape:
            total, scaled = scale(total), [scale(loss) for loss in losses]
        shared = self._shared_kernel(tape, model, scaled)
        norms = []
        for loss in scaled:
            slope = tape.gradient(loss, shared, unconnected_gradients="zero")
            norms.append(ops.sqrt(ops.sum(ops.square(slope))))
        self._move(ops.stack(losses), ops.stack(norms))
        return list(tape.gradient(total, [v.value for v in model.trainable_weights]))

    def _move(self, losses: Any, norms: Any) -> None:
        """Updates the w.

        Args:
            losses: L_t, `(num_tasks,)`.
            norms: Gradient norms of the L_t without weights, up to a common factor.
        """
        w, first = self.variables
        first.assign(ops.where(ops.equal(first, 0.0), losses, first))
        start = ops.where(ops.equal(first, 0.0), 1.0, first)
        norms = norms / ops.maximum(ops.mean(norms), 1e-12)
        rate = losses / start
        rate = rate / ops.maximum(ops.mean(rate), 1e-12)
        pull = w * norms
        target = ops.mean(pull) * ops.power(rate, self.alpha)
        moved = w - self.learning_rate * norms * ops.sign(pull - target)
        moved = ops.maximum(moved, 1e-3)
        w.assign(len(self.kinds) * moved / ops.sum(moved))

    def _shared_kernel(self, tape: Any, model: Any, losses: Sequence[Any]) -> Any:
        layers = model.layers
        if self.layer is not None:
            layers = [model.get_layer(self.layer)]
        for layer in reversed(layers):
            kernels = [w for w in layer.trainable_weights if "kernel" in w.name]
            if kernels:
                kernel = kernels[-1].value
                if all(tape.gradient(loss, kernel) is not None for loss in losses):
                    return kernel
        raise ValueError(
            "GradNorm needs a layer with a kernel that all tasks train. "
            f"Received: layer={self.layer!r}"
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "alpha": self.alpha,
            "learning_rate": self.learning_rate,
            "layer": self.layer,
        }


@saved
class PCGrad(GradientBalance):
    r"""Takes from a task's gradient what goes against another's (Yu et al. 2020).

        for each i, and j \ne i in random order:
            if g_i' g_j < 0:  g_i' -= (g_i' g_j) / ||g_j||^2 g_j,   g_i' = g_i at first
        gradient = \sum_i g_i'

    g_i is the gradient of the loss of task i over all weights that at least two tasks
    train, as one vector; of other weights gradients are left as they are. Tables count
    with the rows of the batch, and their gradients stay sparse. A step costs a backward
    pass for each task.

    Args:
        seed: Of the order, which changes with each step.
    Reference:
        Gradient Surgery for Multi-Task Learning, NeurIPS 2020, algorithm 1.
    """

    _constraints = {"seed": Integer(0)}

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        check(self)

    def gradients(self, tape: Any, model: Any, scale: Any) -> list[Any]:
        import tensorflow as tf

        losses, rest, _ = self.kept.take()[-1]
        with tape:
            scaled, rest = [scale(loss) for loss in losses], scale(rest)
        values = [v.value for v in model.trainable_weights]
        by_task = [tape.gradient(loss, values) for loss in scaled]
        columns = [*zip(*by_task, strict=True)]
        shared = [sum(g is not None for g in column) > 1 for column in columns]
        aligned = [
            _aligned(column) if together else column
            for column, together in zip(columns, shared, strict=True)
        ]
        products = tf.zeros((len(losses), len(losses)))
        for column, together in zip(aligned, shared, strict=True):
            if together:
                rows = tf.stack([tf.reshape(_values(g), (-1,)) for g in column])
                products += tf.matmul(rows, rows, transpose_b=True)
        draws = tf.random.stateless_uniform(
            products.shape, (self.seed, tf.cast(model.optimizer.iterations, "int32"))
        )
        factors = tf.unstack(self.surgery(products, tf.argsort(draws, axis=1)))
        others = tape.gradient(rest, values)
        return [
            _sum(
                [
                    *(
                        _times(g, factor if together else None)
                        for g, factor in zip(column, factors, strict=True)
                    ),
                    other,
                ]
            )
            for column, together, other in zip(aligned, shared, others, strict=True)
        ]

    @staticmethod
    def surgery(products: Any, order: Any) -> Any:
        """Returns how often each g_k is in the sum of the g_i', `(num_tasks,)`.

        A g_i' is a sum of the g_k, so that their inner products tell all of them.

        Args:
            products: `g_i g_j`, `(num_tasks, num_tasks)`.
            order: The order of the j for each i, alike.
        """
        import tensorflow as tf

        n = products.shape[0]
        total = tf.zeros((n,))
        for i in range(n):
            parts = tf.one_hot(i, n)  # of g_i'
            for step in range(n):
                j = order[i, step]
                against = tf.tensordot(parts, products[j], 1)
                length = products[j, j] + 1e-12
                away = tf.where((j != i) & (against < 0), against / length, 0.0)
                parts -= away * tf.one_hot(j, n)
            total += parts
        return total

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


def _aligned(column: Sequence[Any]) -> list[Any]:
    """Gradients of one weight by task, on the same rows; zeros for `None`."""
    import tensorflow as tf

    known = [g for g in column if g is not None]
    if not all(isinstance(g, tf.IndexedSlices) for g in known):
        dense = [None if g is None else tf.convert_to_tensor(g) for g in column]
        zeros = tf.zeros_like(tf.convert_to_tensor(known[0]))
        return [zeros if g is None else g for g in dense]
    ids, places = tf.unique(tf.concat([g.indices for g in known], axis=0))
    places = tf.split(places, [tf.shape(g.indices)[0] for g in known])
    num, here = tf.shape(ids)[0], iter(places)
    rows = [
        None if g is None else tf.math.unsorted_segment_sum(g.values, next(here), num)
        for g in column
    ]
    zeros = tf.zeros_like(next(r for r in rows if r is not None))
    shape = known[0].dense_shape
    return [tf.IndexedSlices(zeros if r is None else r, ids, shape) for r in rows]


def _values(gradient: Any) -> Any:
    return getattr(gradient, "values", gradient)


def _times(gradient: Any, factor: Any) -> Any:
    import tensorflow as tf

    if gradient is None or factor is None:
        return gradient
    if isinstance(gradient, tf.IndexedSlices):
        values = gradient.values * factor
        return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
    return gradient * factor


def _sum(gradients: Sequence[Any]) -> Any:
    """The sum of gradients of one weight; sparse if all are."""
    import tensorflow as tf

    known = [g for g in gradients if g is not None]
    if not known:
        return None
    if all(isinstance(g, tf.IndexedSlices) for g in known):
        values = tf.concat([g.values for g in known], axis=0)
        indices = tf.concat([g.indices for g in known], axis=0)
        return tf.IndexedSlices(values, indices, known[0].dense_shape)
    return tf.add_n([tf.convert_to_tensor(g) for g in known])


_BY_NAME = {
    "uncertainty": Uncertainty,
    "dwa": DWA,
    "gradnorm": GradNorm,
    "pcgrad": PCGrad,
}


def get(balance: Any) -> Balance | None:
    """Returns a new object for a name, or like the one given.

    Raises:
        ValueError: If there is no such way to balance.
    """
    if balance is None:
        return None
    if isinstance(balance, str) and balance in _BY_NAME:
        return _BY_NAME[balance]()  # type: ignore[no-any-return]
    if isinstance(balance, Balance):
        return balance.from_config(balance.get_config())
    raise ValueError(
        f"balance must be one of {list(_BY_NAME)} or an object of "
        f"recsys.train.balance. Received: balance={balance!r}"
    )


class AfterEpoch(keras.callbacks.Callback):
    """Tells the balance of a model what an epoch's losses were."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Passes the logs on."""
        self.model.balance.after_epoch(logs or {})


class Recorded(keras.losses.Loss):
    """A loss whose value can be asked for after Keras has summed all losses.

    Args:
        loss: The loss, an object or a function of labels and predictions.
    """

    def __init__(self, loss: Any) -> None:
        super().__init__(name=getattr(loss, "name", None))
        self.loss = loss
        self.kept = Kept()

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        if isinstance(self.loss, keras.losses.Loss):
            value = self.loss(y_true, y_pred, sample_weight)
        else:
            value = super().__call__(y_true, y_pred, sample_weight)
        self.kept.put(value)
        return value

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.loss(y_true, y_pred)
