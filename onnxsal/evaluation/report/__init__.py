"""Building blocks of reports: one self-contained HTML file of tables, curves and pictures, and the report itself."""

from onnxsal.evaluation.report.charts import Axis, Interval, Series, curves, intervals
from onnxsal.evaluation.report.html import Html, element, joined, text
from onnxsal.evaluation.report.page import Section, code, facts, folded, page, paragraphs
from onnxsal.evaluation.report.pictures import Figure, encoded, gallery, picture
from onnxsal.evaluation.report.tables import Cell, Column, Row, filters, table

__all__ = [
    "Axis",
    "Cell",
    "Column",
    "Figure",
    "Html",
    "Interval",
    "Row",
    "Section",
    "Series",
    "code",
    "curves",
    "element",
    "encoded",
    "facts",
    "filters",
    "folded",
    "gallery",
    "intervals",
    "joined",
    "page",
    "paragraphs",
    "picture",
    "table",
    "text",
]
