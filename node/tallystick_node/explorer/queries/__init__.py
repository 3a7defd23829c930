"""What the pages ask of the index: read-only, one file a page's worth, answered as frozen dataclasses."""
