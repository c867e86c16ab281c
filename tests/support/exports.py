"""Files of an export of the stripe network, and the data set of its run."""

FILES = [
    "export_report.html",
    "export_report.json",
    "export_report.md",
    "labels.txt",
    "model_float32.tflite",
    "model_int8.tflite",
    "seen.npz",
]
STRIPES = {"name": "stripes", "digest": "5" * 64}
LABELS = ("--labels", "flat,lying,standing")
