"""Rows as a table: CSV, Parquet or SQLite, made in one go of the JSON lines that a run has kept.

Rows become durable as JSON lines, whatever the output is to be: appended, synced and named by the journal, exactly
once. Only when a run has come to its end is its spool read twice, once for the columns and once to write them, and
the table put in place whole. So there is one durable path for all formats, and memory does not grow with the rows.
"""

from .formats import require, table_format
from .write import TableReport, finish_table, write_table

__all__ = ["TableReport", "finish_table", "require", "table_format", "write_table"]
