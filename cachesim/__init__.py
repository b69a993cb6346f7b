"""The cache itself: compiled replay, policies, features, objective, oracles, traffic. NumPy and Numba only."""
