"""Draw a map: raw values to saliency, colours, overlays, captions, grids, files."""
