"""Match models: which items of a catalogue suit a user."""
