"""Names that a user may have meant."""

import difflib


def nearest(name: str, known: list[str]) -> str:
    """Return "; did you mean ...?" with the known names closest to `name`, or a list of all when none is close."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; known: {', '.join(sorted(known))}" if known else ""
