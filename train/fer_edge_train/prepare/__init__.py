"""`fer-edge prepare`: a data set as class folders or as a prepared set, with a report."""
