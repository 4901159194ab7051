"""XML: finds the elements that are records in a document of any size, and reads each one independently."""
