"""What a model's predictions rest on: fields, embeddings, gates."""
