"""`fer-edge run`: what connects a source, the pipeline and the sinks."""
