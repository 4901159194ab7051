"""Documents: files whose records are parts of a larger structure, such as rows of a worksheet or elements of XML."""
