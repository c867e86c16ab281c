"""How a data set is read and split: settings, flags and keys of a `--config` file."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from fer_edge.options import RENAMED, Option

Grouping = Literal["photo", "person"]


@dataclass(frozen=True)
class DataSettings:
    """What `prepare`, `train` and `evaluate` may be told about reading a data set."""

    format: Annotated[
        str | None, Option(help="expw, legend, ferplus or folders; default: by what is in the folder.")
    ] = None
    min_box_confidence: Annotated[float, Option(0, 1000, help="Drop faces whose box is less certain (ExpW).")] = 5.0
    """Only ExpW's have a confidence (0.2 to 137.6, median 54). The default drops 1 face in 80: below it YuNet finds a
    face in 26 % of ExpW's boxes (5 of 19), above it in 94 %."""
    group: Annotated[
        Grouping,
        Option(
            help="What never stands in two splits: faces of a photo, or a person (files named First_Last_0001.jpg)."
        ),
    ] = "photo"
    test_split: Annotated[float, Option(0.01, 0.9, help="Share of testing faces, where none are marked.")] = 0.2
    validation_split: Annotated[
        float, Option(0.01, 0.9, help="Share of the training faces for validation, where none are marked.")
    ] = 0.1
    seed: Annotated[int, Option(0, 2**32 - 1, help="Same seed, same split and same run.")] = 0
    jobs: Annotated[int | None, Option(1, 1024, help="Pictures read at once; default: one per core.")] = None

    def as_source(self) -> dict[str, Any]:
        """Turn it into what prepared sets, run folders and models hold, under the names that version 0.1 gave them.

        `jobs`, which changes nothing, is left out.
        """
        before = {new: old for old, new in RENAMED.items()}
        return {before.get(name, name): value for name, value in asdict(self).items() if name != "jobs"}
