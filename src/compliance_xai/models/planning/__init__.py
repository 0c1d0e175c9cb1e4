"""Memory and time of a cell before anything is fetched or run, from its model's sizes."""
