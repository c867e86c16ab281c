"""The person in a picture's file name, by the naming patterns of known data sets, or by the user's own."""

import re
from pathlib import PurePosixPath

from fer_edge.errors import UsageError

NAMED = {
    "CK+": r"(?P<person>S\d{3})_\d{3}_\d{8}",  # S010_004_00000017: person, sequence, frame
    "JAFFE": r"(?P<person>[A-Z]{2})\.[A-Z]{2}\d\.\d+",  # KA.AN1.39
    "KDEF": r"[AB](?P<person>[FM]\d{2})[A-Z]{3,4}",  # AF01ANS: session, person, expression, angle
    "RaFD": r"Rafd\d+_(?P<person>\d+)_[A-Za-z]+_[a-z]+_[a-z]+_[a-z]+",  # Rafd090_01_Caucasian_female_angry_frontal
    "CREMA-D": r"(?P<person>1\d{3})_[A-Z]{3}_[A-Z]{3}_[A-Z]{2}.*",  # 1001_DFA_ANG_XX
    "LFW": r"(?P<person>[^\W\d_a-z][^_]*(_[^\W\d_][^_]*)+)_\d+",  # First_Last_0001
}
"""Data set -> pattern of its file names without suffix, each with the group `person`."""
NUMBERED = r"(?P<person>.+)_\d+"
"""anna_01: only with --group person, as img_0001 has this form, too."""


def person_of(picture: str, patterns: tuple[str, ...] = (*NAMED.values(), NUMBERED)) -> str | None:
    """Person in the file name of `picture` by the first of `patterns` that matches; None if none does.

    >>> person_of("images/Colin_Powell_0116.jpg"), person_of("fear/S010_004_00000017.png"), person_of("a/b.jpg")
    ('Colin_Powell', 'S010', None)
    """
    stem = PurePosixPath(picture).stem
    return next((found["person"] for pattern in patterns if (found := re.fullmatch(pattern, stem))), None)


def person_by(picture: str, pattern: re.Pattern[str]) -> str | None:
    """Person in the path of `picture` by the user's pattern: its group `person`, or else its first group."""
    found = pattern.search(picture)
    person = found and found["person" if "person" in pattern.groupindex else 1]
    return person or None


def compiled(pattern: str) -> re.Pattern[str]:
    """Compile the value of --person-pattern.

    Raises:
        UsageError: It is no regular expression, or has no group.
    """
    example = "give a regular expression with a group, searched in the path, such as --person-pattern '([^/]+)/[^/]+$'"
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--person-pattern {pattern!r}: {error}; {example}") from error
    if not found.groups:
        raise UsageError(f"--person-pattern {pattern!r} has no group; {example}")
    return found
