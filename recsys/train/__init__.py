"""From logits to weights: the model class, optimizers, losses and callbacks."""
