"""Training and judging of the classifiers; nothing of it runs in the alert stream."""
