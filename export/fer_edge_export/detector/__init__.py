"""The bundled face detector: YuNet's published weights, rebuilt in Keras and quantised for LiteRT.

`python -m fer_edge_export.detector` makes both files of it, int8 and float16, from nothing but this package.
"""
