"""One file per data set layout; each turns a folder into the one table (`fer_edge_train.table`)."""
