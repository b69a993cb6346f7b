"""Analysis of replays: metrics, bounds, comparisons, miss ratio curves and samples of keys."""
