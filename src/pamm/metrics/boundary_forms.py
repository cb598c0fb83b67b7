"""The forms in which boundary maps are scored: what published numbers went through, by name.

All of them cut a map at several thresholds, thin what is left to lines, match the lines one to one
with the truth and pool the counts over the data set. They differ in what happens before that, and
in how the best threshold is found. The differences move scores by points, so a score without the
name of its form means little.
"""

from dataclasses import dataclass, replace

from pamm.errors import PammError, unknown

MOST_THRESHOLDS = 1000


def even_thresholds(count: int) -> tuple[float, ...]:
    """i / (count + 1) for i = 1 .. count, rounded as the published tools round it.

    They step from the first to the last. A level of an 8-bit map may be a threshold to the last
    bit or miss it: 85 / 255 is below the second of five.

    >>> even_thresholds(3)
    (0.25, 0.5, 0.75)
    >>> 85 / 255 == 2 / 6, 85 / 255 < even_thresholds(5)[1]
    (True, True)
    """
    first = 1 / (count + 1)
    step = (1 - first - first) / max(count - 1, 1)
    return tuple(first + i * step for i in range(count))


@dataclass(frozen=True, kw_only=True)
class BoundaryForm:
    """One way from a boundary map to precision and recall, in the order of the fields."""

    name: str
    stretch: bool = False
    """Each map is stretched first, so that its smallest value is 0 and its largest 1."""
    eight_bits: bool = False
    """The map is cut off to 256 levels, as a picture of 8 bits holds it."""
    smoothing: int = 0
    """Radius of the triangle filter that the map goes through; 0 = none."""
    suppress: bool = True
    """Whether only the ridges of the map are kept; False: its lines are thin already."""
    ridges_eight_bits: bool = False
    """What is left is rounded to 256 levels."""
    strict: bool = False
    """Whether a pixel must be above a threshold, or may be at it."""
    thresholds: tuple[float, ...] = even_thresholds(99)
    """Ascending; all above 0."""
    precision_of_nothing: float = 0.0
    """Precision at a threshold that no pixel reaches."""
    interpolate: bool = True
    """Whether the best F is looked for between thresholds, too, where precision and recall are
    taken to run straight. Otherwise only at them."""
    outline_truth: bool = False
    """Whether a truth FILE is a map of labels, whose boundaries are where neighbours differ. What
    `BoundaryF` is given are lines in every form."""

    def with_thresholds(self, count: int) -> "BoundaryForm":
        """The form at so many equal steps, i / (count + 1), as Berkeley's benchmark has them.

        Raises:
            PammError: not a number from 1 to 1000.
        """
        if not 1 <= count <= MOST_THRESHOLDS:
            raise PammError(f"thresholds: got {count}, want 1 to {MOST_THRESHOLDS}")
        return replace(self, thresholds=even_thresholds(count))

    def describe(self) -> str:
        """What happens to a map, in words."""
        steps = [
            "stretched to its smallest and largest value" if self.stretch else "",
            "cut off to 8 bits" if self.eight_bits else "",
            f"smoothed by a triangle of radius {self.smoothing}" if self.smoothing else "",
            "non-maximum-suppressed" if self.suppress else "",
            "rounded to 8 bits" if self.ridges_eight_bits else "",
            "cut above the threshold" if self.strict else "cut at the threshold",
            "thinned",
        ]
        return ", ".join(step for step in steps if step)


_SEISM = BoundaryForm(
    name="seism",
    eight_bits=True,
    strict=True,
    thresholds=(0.001, *(i / 100 for i in range(1, 100)), 0.999),
    precision_of_nothing=1.0,
    interpolate=False,
    outline_truth=True,
)

FORMS: dict[str, BoundaryForm] = {
    "seism": _SEISM,
    "seism-minmax": replace(_SEISM, name="seism-minmax", stretch=True),
    "hed": BoundaryForm(name="hed", smoothing=1, ridges_eight_bits=True),
    "thin": BoundaryForm(name="thin", suppress=False),
}
"""Name -> form.

- seism: the tool behind the multi-task tables on NYUD-v2 and PASCAL-Context (Pont-Tuset and
  Marques, "Supervised evaluation of image segmentation and object proposal techniques", 2016; with
  its reader of contours in one PNG), fed with maps that were cut off to 8 bits.
- seism-minmax: the same, with the maps that PAMM's authors write, each stretched first.
- hed: of edge detectors on BSDS500 (Xie and Tu, "Holistically-nested edge detection", 2015).
- thin: Berkeley's benchmark of BSDS500 (Arbelaez et al., 2011), on maps taken as they are:
  contours of segmentations, or what has gone through suppression already.
"""


def boundary_form(name: str) -> BoundaryForm:
    """The form of this name.

    Raises:
        PammError: there is none.
    """
    if name not in FORMS:
        raise PammError(unknown("form of the boundary evaluation", name, FORMS))
    return FORMS[name]
