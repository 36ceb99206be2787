"""Defines `AdaptJob`: a job file (TOML) that fits a model to a corpus, without an ingest.

::

    paths = ["articles/*.parquet"]    # or: collection = "articles" and db, for its payload

    [source]                          # SourceOptions
    text = ["title", "abstract"]

    [adapt]                           # teacher, out, parent, and AdaptOptions
    teacher = "onnx:models/bge-small"
    out = "models/articles"
    teacher_minutes = 10

Paths and variables are as in the job file of an ingest.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from qdrant_static.errors import ArgumentError
from qdrant_static.jobfile import job_data, job_values, placed
from qdrant_static.jobs import Connection, encoder_beside
from qdrant_static.reading.options import SourceOptions
from qdrant_static.training.adaptoptions import AdaptOptions

if TYPE_CHECKING:
    from qdrant_static.training.adaptreport import Adaptation
    from qdrant_static.training.trainingprogress import ProgressArgument


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptStep(AdaptOptions):
    """The table ``[adapt]``: arguments of `adapt`, and the fields of `AdaptOptions`.

    Attributes:
        teacher: Name of the encoder whose vectors are learned.
        out: The folder to write.
        parent: Name or path of the static model to start from.
    """

    teacher: str
    out: str
    parent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptJob:
    """An adaptation that a file describes; ``repr`` shows no secrets.

    Attributes:
        name: The file.
        adapt: Teacher, folder and options.
        paths: The input, as `qdrant_static.ingest` takes it; empty for a collection.
        collection: The collection whose payload holds the texts; None for files.
        db: A directory or a server's URL, for a collection.
        connect: How a server is connected to.
        source: How the input is read.
    """

    name: str
    adapt: AdaptStep
    paths: tuple[str, ...] = ()
    collection: str | None = None
    db: str = field(default="data", repr=False)
    connect: Connection = field(default_factory=Connection)
    source: SourceOptions = field(default_factory=SourceOptions)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], environment: Mapping[str, str] | None = None
    ) -> Self:
        """Read a job file.

        Args:
            path: The file.
            environment: Variables for ``${NAME}`` in its strings; None takes the process's.

        Raises:
            ArgumentError: If a key is unknown or missing, or a value is wrong. It names the key by
                its path, and never shows a value.
        """
        file = Path(path).expanduser()
        values = job_values(cls, job_data(file, environment), file, required=("adapt",))
        if bool(values.get("paths")) == (values.get("collection") is not None):
            raise ArgumentError(
                field=f"{file.name}: paths", problem="name files, or a collection, and not both"
            )
        home, name = file.resolve().parent, file.name
        job = cls(name=str(file), **values)
        step = job.adapt

        def place(path: str | None, key: str) -> str | None:
            return None if path is None else placed(path, home, f"{name}: {key}")

        return replace(
            job,
            paths=tuple(placed(one, home, f"{name}: paths") for one in job.paths),
            db=placed(job.db, home, f"{name}: db"),
            adapt=replace(
                step,
                teacher=encoder_beside(step.teacher, home, f"{name}: adapt.teacher")
                or step.teacher,
                parent=encoder_beside(step.parent, home, f"{name}: adapt.parent"),
                out=placed(step.out, home, f"{name}: adapt.out"),
                cache=place(step.cache, "adapt.cache"),
                judged=place(step.judged, "adapt.judged"),
            ),
        )

    def run(self, *, progress: ProgressArgument = None) -> Adaptation:
        """Run the job.

        Args:
            progress: As for `qdrant_static.training.adapt`.
        """
        from qdrant_static.clients.connect import connect
        from qdrant_static.training.adaptation import adapt
        from qdrant_static.training.texts import TrainingTexts

        if self.collection is None:
            texts = TrainingTexts.read(list(self.paths), source_options=self.source)
        else:
            with closing(
                connect(self.db, api_key=self.connect.api_key, timeout_s=self.connect.timeout_s)
            ) as client:
                texts = TrainingTexts.read_collection(
                    client, self.collection, source_options=self.source
                )
        options = {one.name: getattr(self.adapt, one.name) for one in fields(AdaptOptions)}
        return adapt(
            texts,
            teacher=self.adapt.teacher,
            out=self.adapt.out,
            parent=self.adapt.parent,
            options=AdaptOptions(**options),
            progress=progress,
        )
