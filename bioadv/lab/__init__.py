"""The study: its registry, runs, probes and their provenance, the ledger, and the `bioadv` command."""
