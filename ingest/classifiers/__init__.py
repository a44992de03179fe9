"""Classifiers: small, pure, one contract; see `ingest.classifiers.contract`."""
