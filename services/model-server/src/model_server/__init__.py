"""A model server that answers as TensorFlow Serving does, on TensorFlow's own runtime."""
