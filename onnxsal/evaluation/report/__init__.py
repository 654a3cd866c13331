"""Building blocks of reports: one self-contained HTML file of tables, curves and pictures, and the report itself."""

from onnxsal.evaluation.report.charts import Axis, Chart, Interval, Series, curves, intervals
from onnxsal.evaluation.report.images import Figure, encoded
from onnxsal.evaluation.report.page import Section, page
from onnxsal.evaluation.report.render import part, render
from onnxsal.evaluation.report.tables import Cell, Column, Row, Table

__all__ = [
    "Axis",
    "Cell",
    "Chart",
    "Column",
    "Figure",
    "Interval",
    "Row",
    "Section",
    "Series",
    "Table",
    "curves",
    "encoded",
    "intervals",
    "page",
    "part",
    "render",
]
