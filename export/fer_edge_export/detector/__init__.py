"""The bundled face detector: YuNet's published weights, rebuilt in Keras and quantised for LiteRT.

`python -m fer_edge_export.detector` creates both files, int8 and float16, from this package alone.
"""
