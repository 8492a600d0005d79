"""The two-layer networks: local learning, training with labels, regularisers, pruning."""
