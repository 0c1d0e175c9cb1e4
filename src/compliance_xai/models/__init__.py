"""A rung -> a model ready to train -> a trained model -> the rules it writes."""
