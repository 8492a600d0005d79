"""Speed as ratios: what is compared runs in turn, in one process, so that a noisy machine slows all of it alike."""
