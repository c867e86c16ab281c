"""`fer-edge run`: connects a source, the pipeline and the sinks."""
