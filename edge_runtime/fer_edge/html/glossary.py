"""Terms of statistics in reports, each in one plain sentence: reports are forwarded to people who never met them."""

from collections.abc import Iterable

from fer_edge.html.page import details

TERMS = {
    "accuracy": "Share of the faces whose prediction is their label.",
    "balanced accuracy": "Mean of the recalls, so that rare classes count as much as frequent ones.",
    "recall": "Of the faces with this label, the share that is predicted so.",
    "macro-F1": "Mean over the classes of F1, which is high only if few faces are missed and few are false alarms.",
    "calibration error": "Mean gap between confidence and accuracy: at 0, of predictions with 80% confidence 80% are "
    "right (ECE; Guo et al. 2017).",
    "temperature": "One number that divides the outputs so that confidences are calibrated; changes no prediction.",
    "points": "Difference of two percentages: from 88% to 87% is a drop of 1 point.",
    "95 % interval": "Plausible values given the number of faces: other faces of the same kind would give another "
    "figure. The more faces, the narrower.",
    "McNemar p": "Probability of a difference at least as large if both models were equally good; below 0.05 it is "
    "hardly chance.",
    "KL divergence": "How far the confidences of two models are apart over all classes; 0: equal.",
    "baseline": "Accuracy of always predicting the largest class; a model must beat it to be of use.",
}


def glossary(names: Iterable[str]) -> str:
    """Return an HTML definition list of `names`, keys of `TERMS`."""
    return details((name, TERMS[name]) for name in names)
