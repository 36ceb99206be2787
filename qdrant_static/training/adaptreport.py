"""Defines `Adaptation`: what `adapt` made, how far it agrees with its teacher, what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptation:
    """What `adapt` made.

    Attributes:
        path: The model's folder.
        fingerprint: Fingerprint of the model.
        teacher: Name of the teacher.
        start: What the fit started from.
        corpus: Where the texts come from, and how many there are.
        texts: Number of texts that were learned from.
        of_texts: Number of texts that there were.
        rows: Number of rows of the table.
        dimension: Length of the vectors.
        use: What the texts could teach the vocabulary.
        agreement: Mean cosine between the model's and the teacher's vectors of texts that were held
            out; None if none were.
        figures: The other figures of the fit, such as the agreement before it.
        teacher_s: Time of the teacher, in seconds.
        fit_s: Time of the fit, in seconds.
        notes: What a user should know.
    """

    path: str
    fingerprint: str
    teacher: str
    start: str
    corpus: str
    texts: int
    of_texts: int
    rows: int
    dimension: int
    use: str
    agreement: float | None
    figures: Mapping[str, Any]
    teacher_s: float
    fit_s: float
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return asdict(self)

    def __str__(self) -> str:
        some = "" if self.texts == self.of_texts else f" of {self.of_texts:,}"
        lines = [
            self.corpus,
            f"learned from {self.texts:,}{some} texts: teacher {self.teacher_s:,.1f} s, "
            f"fit {self.fit_s:,.1f} s",
            self.use,
        ]
        if self.agreement is not None:
            before = self.figures.get("agreement_before")
            than = "" if before is None else f" ({before:.3f} before the fit)"
            lines.append(f"texts held out: mean cosine with the teacher {self.agreement:.3f}{than}")
        lines += [f"note: {one}" for one in self.notes]
        lines += [
            f"{self.path}: {self.rows:,} tokens, {self.dimension} dimensions, "
            f"fingerprint {self.fingerprint}",
            "",
            f"next: qdrant-static ingest FILES --encoder {self.path}",
        ]
        lines.append(
            "or, with documents by the teacher and queries by this model: qdrant-static ingest "
            f"FILES --encoder head:{self.path} --query-encoder {self.path}"
        )
        return "\n".join(lines)
