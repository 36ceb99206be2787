"""The limit up to which an encoder reads texts, in tokens and characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadingLimit:
    """How an encoder counts tokens, and how many it reads of a text.

    Attributes:
        name: The name of the encoder.
        tokenizer: Its tokenizer, without truncation and padding.
        tokens: How many tokens of a text it reads, without special ones; None for all.
        characters: How many characters of a text it reads; None for all.
        prompt: The text that it puts before every text, which counts.
    """

    name: str
    tokenizer: Any
    tokens: int | None = None
    characters: int | None = None
    prompt: str = ""

    @classmethod
    def of(cls, encoder: Any) -> ReadingLimit | None:
        """Return the limit of an encoder or a tokenizer; None if there is no tokenizer.

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
        if tokens is None and shown.truncation is not None:  # it includes special tokens
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
        """The number of tokens that are left for the text after the prompt; at least 1."""
        return None if self.tokens is None else max(1, self.tokens - self.prompt_tokens)

    @property
    def prompt_tokens(self) -> int:
        """The number of tokens of the prompt."""
        return self.count([self.prompt])[0] if self.prompt else 0

    def offsets(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Return where the tokens of texts begin and end, in characters, without the prompt."""
        encoded = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [one.offsets for one in encoded]

    def count(self, texts: Sequence[str], *, prompted: bool = False) -> list[int]:
        """Return the numbers of tokens of texts, unknown ones included, with or without prompt."""
        given = [self.prompt + text for text in texts] if prompted else list(texts)
        encoded = self.tokenizer.encode_batch_fast(given, add_special_tokens=False)
        return [len(one.ids) for one in encoded]
