"""Measurements of the alert stream on real servers: how fast, how late, how large, and whether anything is lost."""
