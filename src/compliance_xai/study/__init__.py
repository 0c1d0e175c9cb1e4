"""A YAML file -> checked settings, and the ladder of models that they name."""
