"""How much of a text an encoder reads, and in which tokens it counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadingLimit:
    """How an encoder counts the tokens of a text, and where it stops.

    Attributes:
        name: The encoder's.
        tokenizer: Its tokenizer, without truncation and padding.
        tokens: It reads so many tokens of a text, special ones not counted; None for all.
        characters: It reads so many characters of a text; None for all.
        prompt: What it puts before every text, and counts.
    """

    name: str
    tokenizer: Any
    tokens: int | None = None
    characters: int | None = None
    prompt: str = ""

    @classmethod
    def of(cls, encoder: Any) -> ReadingLimit | None:
        """The limit of an encoder, or of a tokenizer itself; None if it shows no tokenizer.

        Args:
            encoder: An encoder with a ``tokenizer`` of the library ``tokenizers``, or one of these.
        """
        shown = getattr(encoder, "tokenizer", encoder)
        if not hasattr(shown, "encode_batch"):
            return None
        tokenizer = type(shown).from_str(shown.to_str())
        tokenizer.no_truncation()
        tokenizer.no_padding()
        info = getattr(encoder, "info", None)
        tokens = getattr(info, "max_length", None)
        if tokens is None and shown.truncation is not None:  # special tokens take a part of it
            special = shown.num_special_tokens_to_add(False)
            tokens = max(1, shown.truncation["max_length"] - special)
        return cls(
            name=getattr(info, "name", type(shown).__name__),
            tokenizer=tokenizer,
            tokens=tokens,
            characters=getattr(encoder, "max_characters", None),
            prompt=getattr(encoder, "prompt", ""),
        )

    @property
    def own_tokens(self) -> int | None:
        """The tokens that are left beside the prompt's; at least 1."""
        return None if self.tokens is None else max(1, self.tokens - self.prompt_tokens)

    @property
    def prompt_tokens(self) -> int:
        """The tokens of the prompt."""
        return self.count([self.prompt])[0] if self.prompt else 0

    def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Where the tokens of texts begin and end, in characters; without the prompt."""
        encoded = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [one.offsets for one in encoded]

    def count(self, texts: Sequence[str], *, prompted: bool = False) -> list[int]:
        """How many tokens texts have, unknown ones too, each by itself or behind the prompt."""
        given = [self.prompt + text for text in texts] if prompted else list(texts)
        encoded = self.tokenizer.encode_batch_fast(given, add_special_tokens=False)
        return [len(one.ids) for one in encoded]
