"""Multi-task models: several questions, one network."""
