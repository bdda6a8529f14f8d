"""Adam, on tables lazy."""

from collections.abc import Callable, Mapping, Sequence

import keras
from keras import ops

from recsys.protocols import Table
from recsys.saving import saved
from recsys.train.optimizers.row_optimizer import RowOptimizer, is_sparse
from recsys.types import Gradient, Tensor


@saved
class Adam(RowOptimizer, keras.optimizers.Adam):
    """Adam (Kingma and Ba 2015), lazy on tables.

    A row moves when it is in the batch, by its own moments and with the bias
    correction of the global step. `weight_decay` is decoupled: AdamW.

    Args:
        *args, **kwargs: Those of `keras.optimizers.Adam`; the learning rate is 0.001
            by default.
    """

    def slots(self) -> Mapping[str, str | keras.initializers.Initializer]:
        names = ["momentum", "velocity", *(["velocity_hat"] if self.amsgrad else [])]
        return dict.fromkeys(names, "zeros")

    def step(
        self,
        gradient: Tensor,
        slots: Sequence[Tensor],
        learning_rate: Tensor,
        value: Callable[[], Tensor],
    ) -> tuple[Tensor, Sequence[Tensor]]:
        m, v, *v_hat = slots
        t = ops.cast(self.iterations + 1, gradient.dtype)
        alpha = (
            learning_rate
            * ops.sqrt(1 - ops.power(ops.cast(self.beta_2, gradient.dtype), t))
            / (1 - ops.power(ops.cast(self.beta_1, gradient.dtype), t))
        )
        m = m + (gradient - m) * (1 - self.beta_1)
        v = v + (ops.square(gradient) - v) * (1 - self.beta_2)
        v_hat = [ops.maximum(v_hat[0], v)] if v_hat else []
        scale = v_hat[0] if v_hat else v
        return m * alpha / (ops.sqrt(scale) + self.epsilon), [m, v, *v_hat]

    def update_step(
        self, gradient: Gradient, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        """Updates one variable; called by Keras.

        TensorFlow has the step as one pass over memory, four times as fast as `step`
        on large kernels. It knows neither tables, weight decay nor AMSGrad.
        """
        if (
            keras.backend.backend() != "tensorflow"
            or is_sparse(gradient)
            or isinstance(variable, Table)
            or self.weight_decay
            or self.amsgrad
        ):
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        m, v = self._slots[self._place_of(variable)]
        t = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=m.handle,
            v=v.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, t.dtype), t),
            beta2_power=tf.pow(tf.cast(self.beta_2, t.dtype), t),
            lr=tf.cast(learning_rate, t.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, t.dtype),
        )
