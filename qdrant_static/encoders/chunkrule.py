"""How a tokenizer may be applied chunk by chunk."""

from __future__ import annotations

from dataclasses import dataclass

SPACE_SYMBOL = "\u2581"
"""What SentencePiece's tokenizers write for a space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRule:
    """How a tokenizer may be applied chunk by chunk, if it may.

    Attributes:
        independent: Whether the tokens of a text are those of its chunks.
        reason: Why not, or by what argument.
        separators: The characters before whose runs text is cut.
        keep_separators: Whether a chunk is its separators and the word after them, shown to the
            tokenizer after a word of context, except at the start of a text. Otherwise it is the
            word alone, wherever it stands.
        forbidden: A chunk that contains one of these cannot stand alone.
        forbidden_normalized: Nor can one whose normalized form contains one of these.
        check_ends: Whether a last character that is white space, or that the normalizer turns into
            it or removes, extends the run of separators after the chunk, which then cannot stand
            alone.
        check_graphemes: Whether the normalizer looks up grapheme clusters, which may hold a space.
        marker: Every chunk after a single space begins with a token that begins so ("" if not so).
    """

    independent: bool
    reason: str
    separators: str = ""
    keep_separators: bool = False
    forbidden: tuple[str, ...] = ()
    forbidden_normalized: tuple[str, ...] = ()
    check_ends: bool = False
    check_graphemes: bool = False
    marker: str = ""
