"""The cache itself: compiled replay, policies, features, objective, oracles and synthetic traffic. NumPy and Numba only."""
