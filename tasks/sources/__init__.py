"""Files of requests: which format they have, and their rows in chunks of bounded size. One format a module."""

from tasks.sources.formats import SourceFile, identify, open_reading
from tasks.sources.model import CHUNK_ROWS, SHOWN_REJECTIONS, Chunk, Reading

__all__ = ["CHUNK_ROWS", "SHOWN_REJECTIONS", "Chunk", "Reading", "SourceFile", "identify", "open_reading"]
