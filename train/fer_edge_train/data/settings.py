"""Settings for reading and splitting a data set: flags and `--config` keys."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from fer_edge.options import RENAMED, Option

Grouping = Literal["photo", "person"]


@dataclass(frozen=True)
class DataSettings:
    """How `prepare`, `train` and `evaluate` read and split a data set."""

    format: Annotated[str | None, Option(help="expw, legend, ferplus, fer2013 or folders; default: detected.")] = None
    min_box_confidence: Annotated[float, Option(0, 1000, help="Drop faces with a lower box confidence (ExpW).")] = 5.0
    """Only ExpW has confidences (0.2 to 137.6, median 54). The default drops 1 face in 80: below it YuNet finds a face
    in 26 % of ExpW's boxes (5 of 19), above it in 94 %."""
    group: Annotated[
        Grouping,
        Option(help="Keep faces of a photo, or of a person (by file name), in one split."),
    ] = "photo"
    person_pattern: Annotated[
        str | None,
        Option(
            help="Regular expression for --group person; its group is the person, searched in the picture's path. "
            "Default: the names of CK+, JAFFE, KDEF, RaFD, CREMA-D and LFW, and NAME_0001."
        ),
    ] = None
    test_split: Annotated[float, Option(0.01, 0.9, help="Share of testing faces, unless the data set has splits.")] = (
        0.2
    )
    validation_split: Annotated[
        float,
        Option(0.01, 0.9, help="Share of training faces for validation, unless the data set has a validation split."),
    ] = 0.1
    seed: Annotated[int, Option(0, 2**32 - 1, help="Random seed of the split.")] = 0
    jobs: Annotated[int | None, Option(1, 1024, help="Threads reading pictures; default: one per core.")] = None

    def as_source(self) -> dict[str, Any]:
        """Convert to the form stored in prepared sets, run folders and models, with the names of version 0.1.

        `jobs`, which does not affect the result, is left out.
        """
        old_names = {new: old for old, new in RENAMED.items()}
        return {old_names.get(name, name): value for name, value in asdict(self).items() if name != "jobs"}
