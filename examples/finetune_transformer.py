"""Fine-tune a transformer with hard negatives that were mined from a collection.

Mining needs no PyTorch. Training does, and is left out where sentence-transformers is missing:

pip install "qdrant-static[offline]" "sentence-transformers[train]"
python finetune_transformer.py
python finetune_transformer.py sentence-transformers/all-MiniLM-L6-v2 OUT
"""

import sys
import tempfile
from importlib.util import find_spec
from itertools import product
from pathlib import Path

from qdrant_static import open_collection
from qdrant_static.training import MadePairs, MiningOptions, mine_negatives

THINGS = ("tides", "sourdough", "volcanoes", "compilers", "whales", "bridges", "glaciers")
SIDES = {
    "history": "People have studied {} for a long time. Many old books describe them.",
    "physics": "Several forces explain {}. A small model of them fits on one page.",
    "economics": "Some money is made with {}. Their price follows the season.",
    "repair": "When {} fail, an expert is called. A good tool saves a day then.",
}


def mine(folder: Path) -> Path:
    """Make pairs of titles, and mine hard negatives for them."""
    rows = [
        {"id": f"{side}/{thing}", "title": f"The {side} of {thing}", "text": text.format(thing)}
        for (side, text), thing in product(SIDES.items(), THINGS)
    ]
    made = MadePairs.read(rows, kinds=["title"])
    print(made)
    with open_collection(folder / "db", "articles", encoder="wordllama") as articles:
        articles.ingest(rows)
        report = mine_negatives(
            articles.client,
            "articles",
            made.pairs,
            out=folder / "mined.jsonl",
            form="sentence-transformers",
            options=MiningOptions(negatives=2, share=0.9),
        )
    print(report)
    return folder / "mined.jsonl"


def finetune(mined: Path, model_name: str, out: Path) -> None:
    """Train by multiple-negatives ranking, with prefixes of the vectors (Matryoshka)."""
    from datasets import load_dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.losses import MatryoshkaLoss, MultipleNegativesRankingLoss
    from sentence_transformers.training_args import BatchSamplers

    model = SentenceTransformer(model_name)
    # The scores are for losses that distill (MarginMSE, KL); ranking takes the texts alone.
    data = load_dataset("json", data_files=str(mined), split="train").remove_columns("scores")
    dimension = model.get_sentence_embedding_dimension()
    loss = MatryoshkaLoss(
        model,
        MultipleNegativesRankingLoss(model),
        matryoshka_dims=[dimension, dimension // 2, dimension // 4],
    )
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(out / "checkpoints"),
        num_train_epochs=1,
        per_device_train_batch_size=16,
        batch_sampler=BatchSamplers.NO_DUPLICATES,  # a duplicate would be its own negative
        report_to="none",
    )
    SentenceTransformerTrainer(model=model, args=arguments, train_dataset=data, loss=loss).train()
    model.save_pretrained(str(out / "model"))
    print(f"fine-tuned: {out / 'model'}")


def main(arguments: list[str]) -> None:
    folder = Path(arguments[1]) if len(arguments) > 1 else Path(tempfile.mkdtemp())
    mined = mine(folder)
    if find_spec("sentence_transformers") is None or find_spec("datasets") is None:
        print(f"sentence-transformers is not installed: {mined} is ready for it")
        return
    if not arguments:
        print(f"name a model to fine-tune it with {mined}")
        return
    finetune(mined, arguments[0], folder)


if __name__ == "__main__":
    main(sys.argv[1:])
