"""From one YAML file to a folder: samples, training, evaluation, report."""
