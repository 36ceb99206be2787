"""How a model is adapted to a corpus: `AdaptOptions`."""

from __future__ import annotations

from dataclasses import dataclass

from qdrant_static import rules
from qdrant_static.errors import ArgumentError

#: Types of a saved table.
DTYPES = ("float32", "float16", "int8")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptOptions:
    """How a model is adapted to a corpus.

    The table ``[adapt]`` of a job file and the options of ``qdrant-static train adapt`` have the
    same names.

    Attributes:
        cache: Folder that keeps the teacher's vectors; None takes teacher-vectors beside the model.
        teacher_minutes: How long the teacher may encode, in minutes; None takes all texts. The
            texts that cover most of the vocabulary are encoded first.
        dimension: Length of the vectors: the first axes of the corpus; None takes the teacher's.
        grow: The most frequent words that get rows of their own; 0 takes none. Only vocabularies
            of WordPiece can grow.
        prune: Drop the rows of tokens that no text has.
        turn: Turn the space to the axes of the corpus, so that prefixes of the vectors can be used.
            False leaves it as the teacher's own: for collections of the teacher's vectors as they
            are.
        epochs: The most passes over the passages after the regression; None takes 15.
        judged: A judged data set in BEIR's format, whose test queries must not be among the texts.
        leave_out_judged: Leave out texts that equal a test query, instead of refusing them.
        dtype: Type of the saved table: float32, float16 or int8.
        seed: Number that determines the order of the texts, and which are held out.
    """

    cache: str | None = None
    teacher_minutes: float | None = None
    dimension: int | None = None
    grow: int = 0
    prune: bool = False
    turn: bool = True
    epochs: int | None = None
    judged: str | None = None
    leave_out_judged: bool = False
    dtype: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.cache is not None:
            rules.location("cache", self.cache)
        minutes = self.teacher_minutes
        if minutes is not None and not (rules.is_number(minutes) and minutes > 0):
            raise ArgumentError(
                field="teacher_minutes", problem=f"{minutes!r} is not a number above 0"
            )
        rules.check_integer("dimension", self.dimension, optional=True)
        rules.check_integer("grow", self.grow, least=0)
        rules.check_integer("epochs", self.epochs, least=0, optional=True)
        rules.check_integer("seed", self.seed, least=0)
        rules.check_choice("dtype", self.dtype, DTYPES)
        for name in ("prune", "turn", "leave_out_judged"):
            rules.check_bool(name, getattr(self, name))
        if self.dimension is not None and not self.turn:
            raise ArgumentError(
                field="dimension", problem="it needs the axes of the corpus: leave out turn=False"
            )
        if self.leave_out_judged and self.judged is None:
            raise ArgumentError(
                field="leave_out_judged", problem="it needs a judged set: name it by judged"
            )

    def check_dimension(self, teacher: int) -> None:
        """Check the dimension against that of the teacher.

        Raises:
            ArgumentError: If it is too large.
        """
        if self.dimension is not None and self.dimension > teacher:
            raise ArgumentError(
                field="dimension", problem=f"{self.dimension} is above the teacher's {teacher}"
            )
