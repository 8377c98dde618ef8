"""Tables: rows of mixed columns with missing cells, from CSV, Parquet, data frames and dicts of columns."""
