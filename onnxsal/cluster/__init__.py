"""Data sets on several machines: pictures are rows of Ray Data, and so are the maps that its workers make of them."""
