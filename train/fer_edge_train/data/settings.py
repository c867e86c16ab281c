"""How a data set is read and split; the defaults are the documentation, the command line sets the fields."""

import os
from dataclasses import dataclass
from typing import Annotated, Literal

from fer_edge_train.config_file import Within

Grouping = Literal["photo", "person"]


@dataclass(frozen=True)
class DataSettings:
    """What `prepare`, `train` and `evaluate` may be told about reading a data set."""

    format: str | None = None
    """expw, legend, ferplus or folders; None recognises the layout by what is in the folder."""
    min_confidence: Annotated[float, Within(0, 1000)] = 5.0
    """Faces whose box has a lower confidence are dropped; only ExpW's have one (0.2 to 137.6, median 54). The default
    drops 1 face in 80: below it YuNet finds a face in 26 % of ExpW's boxes (5 of 19), above it in 94 %."""
    group: Grouping = "photo"
    """What never stands in two splits: the faces of one photo, or of one person (files named First_Last_0001.jpg)."""
    split: Annotated[float, Within(0.01, 0.9)] = 0.2
    """Share of the faces for testing, where the data set brings no splits of its own."""
    validation: Annotated[float, Within(0.01, 0.9)] = 0.1
    """Share of the training faces for validation, where the data set brings no validation split."""
    seed: Annotated[int, Within(0, 2**32 - 1)] = 0
    """The same seed gives the same split on every machine."""
    jobs: Annotated[int, Within(1, 1024)] = os.cpu_count() or 1
    """Pictures read at once."""
