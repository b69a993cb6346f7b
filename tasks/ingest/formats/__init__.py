"""Files of requests: which format they have, and their rows in chunks of bounded size. One format a module."""

from tasks.ingest.formats.base import CHUNK_ROWS, SHOWN_REJECTIONS, Chunk, Reading
from tasks.ingest.formats.detect import SourceFile, identify, open_reading

__all__ = ["CHUNK_ROWS", "SHOWN_REJECTIONS", "Chunk", "Reading", "SourceFile", "identify", "open_reading"]
