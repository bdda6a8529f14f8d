"""From files to `tf.data`: features, vocabularies, histories."""
