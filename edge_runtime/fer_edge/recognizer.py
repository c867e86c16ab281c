"""Frame in, faces with their expressions out."""


class Face:
    """One face."""


class Recognizer:
    """Detector and classifier."""
