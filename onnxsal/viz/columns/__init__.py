"""Columns of a table with their values: bars of one row, a beeswarm of many, for pictures, pages and terminals."""
