"""Notices of every mission, from the bytes on a topic to `graph.model.Notice`; the wire formats end here."""
