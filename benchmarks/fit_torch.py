"""The loss of a table's refinement in PyTorch; run by `fit.py`, in an environment with PyTorch.

    PYTHON benchmarks/fit_torch.py --contender "torch, SparseAdam" --data FILE

It needs torch and numpy alone.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import torch
from torch.nn import functional


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--contender", required=True)
    parser.add_argument("--data", required=True)
    options = parser.parse_args()
    held = np.load(options.data)
    print(json.dumps(measure(options.contender, held)))


def measure(contender: str, held: Any) -> dict[str, Any]:
    """Time the epochs."""
    ends, indices = held["ends"], torch.from_numpy(held["indices"].astype(np.int64))
    shares, targets = torch.from_numpy(held["shares"]), torch.from_numpy(held["targets"])
    prior = torch.from_numpy(held["prior"])
    sparse = contender.endswith("SparseAdam")
    bag = torch.nn.EmbeddingBag.from_pretrained(prior, freeze=False, mode="sum", sparse=sparse)
    rate = float(held["rate"]) * float(prior.abs().mean())
    kind = torch.optim.SparseAdam if sparse else torch.optim.Adam
    adam = kind(bag.parameters(), lr=rate)
    temperature, epochs, batch = float(held["temperature"]), int(held["epochs"]), int(held["batch"])
    steps = max(1, len(targets) // batch)
    rng = np.random.default_rng(1)
    step, begin = 0, time.perf_counter()
    for _ in range(epochs):
        for rows in np.array_split(rng.permutation(len(targets)), steps):
            lengths = ends[rows + 1] - ends[rows]
            starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
            at = torch.from_numpy(
                np.arange(int(lengths.sum())) + np.repeat(ends[rows] - starts, lengths)
            )
            sums = bag(indices[at], torch.from_numpy(starts), per_sample_weights=shares[at])
            student, teacher = functional.normalize(sums), targets[rows]
            wanted = functional.log_softmax(teacher @ teacher.T / temperature, 1)
            found = functional.log_softmax(student @ teacher.T / temperature, 1)
            kl = functional.kl_div(found, wanted, reduction="batchmean", log_target=True)
            near = (1 - (student * teacher).sum(1)).mean()
            loss = float(held["cosine"]) * near + float(held["kl"]) * kl
            for group in adam.param_groups:
                group["lr"] = rate * (1 - 0.9 * step / (epochs * steps))
            adam.zero_grad()
            loss.backward()
            adam.step()
            step += 1
    seconds = time.perf_counter() - begin
    with torch.no_grad():
        every = bag(
            indices, torch.from_numpy(ends[:-1].astype(np.int64)), per_sample_weights=shares
        )
        cosine = float((functional.normalize(every) * targets).sum(1).mean())
    return {
        "contender": contender,
        "seconds": seconds,
        "step_s": seconds / max(step, 1),
        "cosine": cosine,
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    main()
