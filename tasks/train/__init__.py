"""Training: seeds, checkpoints, trials and evaluation."""
