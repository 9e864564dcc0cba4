"""One file per family of rows; each has ROWS, name -> function of (size, rounds) that measures the row."""
