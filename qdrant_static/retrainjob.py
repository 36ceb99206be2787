"""Defines `RetrainJob`: a job file (TOML) that keeps a collection's model fitted to its texts.

::

    collection = "articles"          # an alias (migrate adopt makes one)
    db = "data"

    [connect]                        # arguments of connect()

    [retrain]
    teacher = "onnx:models/bge-small"
    judged = "judged"                # queries and judgements of documents of the collection
    models = "models"                # where new models are written

    [adapt]                          # AdaptOptions
    dimension = 256

1. A model is fitted to the texts in the collection's payload, without the judged queries.
2. The next generation of the collection is filled with it, beside the one in use.
3. Both answer the judged queries. The alias moves only if all gates pass and NDCG@10 is higher by
   more than chance explains; otherwise the new generation is deleted.

Paths are relative to the file's folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from qdrant_static import rules
from qdrant_static.clock import now
from qdrant_static.errors import ArgumentError, MigrationNotFoundError
from qdrant_static.jobfile import job_data, job_values, placed
from qdrant_static.jobs import Connection, encoder_beside
from qdrant_static.training.adaptoptions import AdaptOptions

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.migration.migration import Migration
    from qdrant_static.training.trainingprogress import ProgressArgument


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraining:
    """How a model is fitted again, and what it must be better at; the table ``[retrain]``.

    Attributes:
        teacher: The encoder whose vectors are learned.
        judged: A judged data set in BEIR's form; the collection holds its documents.
        models: The folder in which each new model gets a folder, named by the time.
        parent: The static model to start from; None starts from the teacher's token outputs, or
            of a static teacher from its table.
        accept: Gates of quality that may refuse without stopping the move; the comparison of NDCG
            is none of them.
        retire_after_s: The generation before the last move is deleted if that was longer ago, in
            seconds; a migration cannot begin while it is kept.
    """

    teacher: str
    judged: str
    models: str = "models"
    parent: str | None = None
    accept: tuple[str, ...] = ()
    retire_after_s: float = 3600.0

    def __post_init__(self) -> None:
        for name in ("teacher", "judged", "models"):
            rules.location(name, getattr(self, name))
        if "ndcg" in self.accept:
            raise ArgumentError(
                field="accept", problem="'ndcg' decides whether the new model is better"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainReport:
    """What a retraining did.

    Attributes:
        collection: The alias.
        model: The folder of the new model.
        serving: The collection that the alias points at afterwards.
        moved: Whether the alias was moved to a collection with the new model.
        reason: Why it was, or was not.
        adaptation: The fit, as plain data.
        verified: The gates, as plain data; None if the new model is the one in use.
    """

    collection: str
    model: str
    serving: str
    moved: bool
    reason: str
    adaptation: Mapping[str, Any] = field(repr=False)
    verified: Mapping[str, Any] | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-like data."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def __str__(self) -> str:
        what = "moved to the new model" if self.moved else "keeps its model"
        return (
            f"{self.collection} {what}: {self.reason}\nnew model: {self.model}\n"
            f"serving: {self.serving}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainJob:
    """A retraining that a file describes; ``repr`` shows no secrets.

    Attributes:
        name: The file.
        collection: The alias of the collection.
        retrain: How the model is fitted and judged.
        db: A directory or a server's URL.
        connect: How a server is connected to.
        adapt: Details of the fit.
    """

    name: str
    collection: str
    retrain: Retraining
    db: str = field(default="data", repr=False)
    connect: Connection = field(default_factory=Connection)
    adapt: AdaptOptions = field(default_factory=AdaptOptions)

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
                its path.
        """
        file = Path(path).expanduser()
        data = job_data(file, environment)
        values = job_values(cls, data, file, required=("collection", "retrain"))
        return cls(name=str(file), **values)._placed(file)

    def _placed(self, file: Path) -> Self:
        """Return the job with its paths relative to the file's folder."""
        home, name, given = file.resolve().parent, file.name, self.retrain
        cache = self.adapt.cache
        return replace(
            self,
            db=placed(self.db, home, f"{name}: db"),
            retrain=replace(
                given,
                judged=placed(given.judged, home, f"{name}: retrain.judged"),
                models=placed(given.models, home, f"{name}: retrain.models"),
                teacher=encoder_beside(given.teacher, home, f"{name}: retrain.teacher")
                or given.teacher,
                parent=encoder_beside(given.parent, home, f"{name}: retrain.parent"),
            ),
            adapt=replace(
                self.adapt,
                judged=placed(given.judged, home, f"{name}: retrain.judged"),
                leave_out_judged=True,
                cache=None if cache is None else placed(cache, home, f"{name}: adapt.cache"),
            ),
        )

    def run(self, *, progress: ProgressArgument = False) -> RetrainReport:
        """Fit a model, compare it with the one in use, and move the alias if it is better.

        Args:
            progress: As for `adapt`.

        Raises:
            ArgumentError: If the collection is no alias, or its payload does not hold the text.
            MigrationStepError: If a migration of the alias is under way that this job did not
                begin, or the last one is younger than ``retire_after_s``.
        """
        from qdrant_static.clients.aliases import aliases_of
        from qdrant_static.clients.connect import connect
        from qdrant_static.migration.migration import Migration

        client = connect(self.db, api_key=self.connect.api_key, timeout_s=self.connect.timeout_s)
        try:
            if self.collection not in aliases_of(client):
                raise ArgumentError(
                    field="collection",
                    problem=f"{self.collection!r} is not an alias, and only an alias can be moved "
                    f"to another model: migrate adopt {self.collection}",
                )
            with Migration(client, self.collection) as migration:
                _retire(migration, self.retrain.retire_after_s)
                return self._run(client, migration, progress)
        finally:
            client.close()

    def _run(
        self, client: Client, migration: Migration, progress: ProgressArgument
    ) -> RetrainReport:
        from qdrant_static.clients.aliases import resolve_alias
        from qdrant_static.collection.create import read_spec
        from qdrant_static.migration.gates import Thresholds
        from qdrant_static.training.adaptation import adapt
        from qdrant_static.training.texts import TrainingTexts

        texts = TrainingTexts.read_collection(client, self.collection)
        folder = Path(self.retrain.models) / f"{self.collection}-{now().replace(':', '')}"
        made = adapt(
            texts, teacher=self.retrain.teacher, out=folder, parent=self.retrain.parent,
            options=self.adapt, progress=progress,
        )  # fmt: skip
        blue = resolve_alias(client, self.collection)
        found: dict[str, Any] = {
            "collection": self.collection, "model": str(folder), "adaptation": made.to_dict(),
        }  # fmt: skip
        if read_spec(client, blue).encoder.fingerprint == made.fingerprint:
            same = "the new model is the one in use"
            return RetrainReport(**found, serving=blue, moved=False, reason=same)
        migration.start(str(folder))
        verified = migration.verify(
            judged=self.retrain.judged, thresholds=Thresholds(better=True),
            accept=self.retrain.accept,
        )  # fmt: skip
        found["verified"] = verified.to_dict()
        words = verified.gate("ndcg").words
        if verified.passed:
            migration.cutover()
            return RetrainReport(**found, serving=verified.green, moved=True, reason=words)
        migration.abort()
        reason = f"{words} (refused by {', '.join(verified.refused)})"
        return RetrainReport(**found, serving=blue, moved=False, reason=reason)


def _retire(migration: Migration, after_s: float) -> None:
    """Delete the generation before the last move, so that the next migration can begin."""
    try:
        phase = migration.state().phase
    except MigrationNotFoundError:
        return
    if phase in ("switched", "retiring"):
        migration.retire(after_s=after_s)
