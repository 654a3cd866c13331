"""Judging maps over many pictures: pictures with labels, boxes and masks in, rows, tables and reports out."""
