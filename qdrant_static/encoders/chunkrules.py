"""Decides from a tokenizer's definition whether it may be applied chunk by chunk.

Text is cut before every run of separators: ``"the  cell"`` becomes the chunks ``"the"`` and
``"  cell"``. The tokens of a text are those of its chunks, one after the other, if no stage of the
tokenizer looks across such a cut:

* The normalizer must act on single characters, or on sequences that cannot hold a separator.
* Either the pre-tokenizer cuts there (and the model sees its pieces one by one), or there is none
  and the model is a BPE in which no merge joins a symbol that ends without a separator to one that
  begins with one. Merges then act on each side as if the other were not there.
* A Unigram over the whole text is refused even if no piece spans a cut: it adds scores from the
  text's start on, so that ties ("a" + "aa" or "aa" + "a") are broken by rounding, by what precedes.
* Added tokens are matched in the whole text; a chunk that holds one sends its row elsewhere.

A tokenizer that this module does not know counts as dependent. `chunktokenizer.decide` also checks
the proof on a sample.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPACE_SYMBOL = "\u2581"  # what SentencePiece's tokenizers write for a space
SEPARATORS = " \t\n\r"
"""Other white space (U+000B, U+00A0, U+3000) stays inside chunks: stages disagree about it."""

_Json = dict[str, Any]

_BY_CHARACTER = frozenset(
    {"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "StripAccents", "Strip"}
)
# A run of blanks is in one chunk, so that a normalizer that collapses it acts inside the chunk.
_BLANK_RUNS = frozenset({" {2,}", r"\s+", r"\s{2,}"})
_CUT_AT_BLANKS = frozenset({"BertPreTokenizer", "Whitespace", "WhitespaceSplit"})
_CUT_FURTHER = frozenset({"BertPreTokenizer", "Digits", "Punctuation", "Split", "UnicodeScripts"})
# Patterns of Llama 3 and Qwen 2: a match that begins outside a blank never takes in a space. It may
# take in line ends ("." + "\n\n"), so that only the space cuts.
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_CUT_BEFORE_SPACE = frozenset(
    {f"{_CONTRACTIONS}{number}{_REST}" for number in (r"\p{N}{1,3}", r"\p{N}")}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRule:
    """Whether and how a tokenizer may be applied chunk by chunk.

    Attributes:
        independent: Whether the tokens of a text are those of its chunks.
        reason: Why not, or the argument why.
        separators: Text is cut before runs of these characters.
        keep_separators: Whether a chunk is its separators and the word after them, tokenized after
            a word of context, except at the start of a text. Otherwise it is the word alone.
        forbidden: A chunk that contains one of these cannot be tokenized alone.
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


def _refuse(reason: str) -> ChunkRule:
    return ChunkRule(independent=False, reason=reason)


def prove(tokenizer: Tokenizer, definition: _Json) -> ChunkRule:
    """Decide from the definition alone.

    Args:
        tokenizer: The tokenizer; only its normalizer is called, with separators.
        definition: Its JSON.
    """
    if sys.byteorder != "little":
        return _refuse("the kernels read words as little-endian")
    for setting in ("truncation", "padding"):
        if definition.get(setting):
            return _refuse(f"the tokenizer's own {setting} acts on whole texts")
    normalizers = _flatten(definition.get("normalizer"), "normalizers")
    cutters = _flatten(definition.get("pre_tokenizer"), "pretokenizers")
    model = definition["model"]
    if model.get("dropout"):
        return _refuse("BPE dropout is random")
    for normalizer in normalizers:
        if complaint := _normalizer_complaint(normalizer):
            return _refuse(complaint)
    rule = _cuts(normalizers, cutters, model)
    if not rule.independent:
        return rule
    separators = _true_separators(tokenizer, rule, spaces_only=_spaces_only(cutters))
    if " " not in separators:
        return _refuse("the normalizer does not keep a space between words")
    trivial = all(n["type"] == "Prepend" or _maps_space([n]) for n in normalizers)
    rule = replace(
        rule,
        separators=separators,
        check_ends=rule.keep_separators and not (trivial and SPACE_SYMBOL in rule.forbidden),
        check_graphemes=any(n["type"] == "Precompiled" for n in normalizers),
    )
    return _with_added_tokens(rule, tokenizer, definition.get("added_tokens") or [])


def _flatten(stage: _Json | None, key: str) -> list[_Json]:
    if stage is None:
        return []
    if stage["type"] != "Sequence":
        return [stage]
    return [leaf for part in stage[key] for leaf in _flatten(part, key)]


def _normalizer_complaint(normalizer: _Json) -> str:
    kind = normalizer["type"]
    if kind in _BY_CHARACTER or kind == "Precompiled":
        return ""
    if kind == "Prepend":
        return (
            "" if normalizer["prepend"] == SPACE_SYMBOL else "Prepend of a text other than a space"
        )
    if kind == "Replace":
        pattern, content = normalizer["pattern"], normalizer["content"]
        if pattern.get("String") == " " and content == SPACE_SYMBOL:
            return ""
        if pattern.get("Regex") in _BLANK_RUNS and content in (" ", SPACE_SYMBOL):
            return ""
        if (text := pattern.get("String")) and not _blank(text) and not _blank(content):
            return ""
        return f"Replace({pattern} by {content!r}) may act across chunks"
    return f"the normalizer {kind} is not known to act on single characters"


def _blank(text: str) -> bool:
    return any(c.isspace() or c == SPACE_SYMBOL for c in text)


def _cuts(normalizers: list[_Json], cutters: list[_Json], model: _Json) -> ChunkRule:
    """Return the rule by which the tokenizer cuts before separators."""
    if not cutters:
        return _whole_text(normalizers, model, mapped=_maps_space(normalizers))
    first, rest = cutters[0], cutters[1:]
    name = first["type"]
    if name in _CUT_AT_BLANKS:
        return _after_blanks(first, rest)
    if name == "Metaspace" and not first.get("split", True):
        if not rest and first.get("replacement") == SPACE_SYMBOL:
            return _whole_text(normalizers, model, mapped=True)
        return _refuse("Metaspace without split, followed by other pre-tokenizers")
    further = all(cutter["type"] in _CUT_FURTHER for cutter in rest)
    if name == "Metaspace" and further and first.get("replacement") == SPACE_SYMBOL:
        return ChunkRule(
            independent=True,
            reason="Metaspace cuts before every space",
            keep_separators=True,
            marker="" if rest else SPACE_SYMBOL,
        )
    if name == "ByteLevel" and first.get("use_regex", True) and not rest:
        return ChunkRule(
            independent=True,
            reason="ByteLevel's pattern never takes in a blank after another character",
            keep_separators=True,
            marker="\u0120",
        )
    if (
        name == "Split"
        and first["pattern"].get("Regex") in _CUT_BEFORE_SPACE
        and first["behavior"] == "Isolated"
        and not first["invert"]
        and [(c["type"], c.get("use_regex"), c.get("add_prefix_space")) for c in rest]
        == [("ByteLevel", False, False)]
    ):
        return ChunkRule(
            independent=True,
            reason="the Split pattern never takes in a space after another character",
            keep_separators=True,
            marker="\u0120",
        )
    return _refuse(f"the pre-tokenizer {name} is not known to cut at separators")


def _after_blanks(first: _Json, rest: list[_Json]) -> ChunkRule:
    keep = False
    for cutter in rest:
        if cutter["type"] == "Metaspace":
            # "first" looks at a piece's place in the text.
            keep = keep or cutter.get("prepend_scheme", "always") == "first"
        elif cutter["type"] not in (*_CUT_FURTHER, "ByteLevel"):
            return _refuse(f"the pre-tokenizer {cutter['type']} is not known")
    return ChunkRule(
        independent=True,
        reason=f"{first['type']} cuts at separators and drops them",
        keep_separators=keep,
    )


def _maps_space(normalizers: list[_Json]) -> bool:
    return any(n["type"] == "Replace" and n["pattern"].get("String") == " " for n in normalizers)


def _spaces_only(cutters: list[_Json]) -> bool:
    """Return whether chunks are separated only by what the normalizer turns into a space."""
    return bool(cutters) and cutters[0]["type"] in ("Metaspace", "Split")


def _whole_text(normalizers: list[_Json], model: _Json, *, mapped: bool) -> ChunkRule:
    """Return the rule of a model that gets the text in one piece."""
    name = model.get("type", "?")
    if name == "Unigram":
        return _refuse("a Unigram over the whole text breaks ties by the sum of what precedes")
    if name != "BPE":
        return _refuse(f"a {name} model without pre-tokenizer sees the whole text")
    for setting in ("ignore_merges", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(setting):
            return _refuse(f"BPE over the whole text with {setting}")
    if not mapped:
        return _refuse(f"BPE over the whole text, in which spaces do not become {SPACE_SYMBOL!r}")
    vocabulary = model["vocab"]
    if SPACE_SYMBOL not in vocabulary:
        return _refuse("BPE over the whole text, whose unknown symbols are fused across spaces")
    return _no_merge_crosses(model)


def _no_merge_crosses(model: _Json) -> ChunkRule:
    vocabulary = model["vocab"]
    forms: dict[str, tuple[str, ...]] = {" ": (SPACE_SYMBOL,)}
    for separator in SEPARATORS[1:]:
        as_byte = f"<0x{ord(separator):02X}>"
        if separator in vocabulary:
            forms[separator] = (separator, as_byte)
        elif model.get("byte_fallback") and as_byte in vocabulary:
            forms[separator] = (as_byte,)  # else an unknown symbol, which BPE may fuse
    heads = {form[0] for of_one in forms.values() for form in of_one}
    for merge in model["merges"]:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        if right[0] not in heads:
            continue
        for separator in list(forms):
            own = forms[separator]
            if right.startswith(own) and not left.endswith((*own, SPACE_SYMBOL)):
                del forms[separator]
        if " " not in forms:
            return _refuse(f"the merge of {left!r} and {right!r} joins a word to the next")
    return ChunkRule(
        independent=True,
        reason="no BPE merge joins the end of a word to a separator",
        separators="".join(forms),
        keep_separators=True,
        # "a" + U+2581 and " b" would share a run of that symbol.
        forbidden=(SPACE_SYMBOL,),
        marker=SPACE_SYMBOL,
    )


def _true_separators(tokenizer: Tokenizer, rule: ChunkRule, *, spaces_only: bool) -> str:
    """Return the separators that the normalizer leaves as a blank between two words."""
    normalizer = tokenizer.normalizer
    kept = ""
    for separator in rule.separators or SEPARATORS:
        text = f"a{separator}b"
        form = normalizer.normalize_str(text) if normalizer else text
        form = form.removeprefix(SPACE_SYMBOL)
        valid = {" ", SPACE_SYMBOL} if spaces_only else {" ", SPACE_SYMBOL, separator}
        # The proof for a whole text is one about the symbols that the model sees.
        if rule.separators and separator != " ":
            valid.remove(" ")
        if form[:1] == "a" and form[-1:] == "b" and form[1:-1] in valid:
            kept += separator
    return kept


def _with_added_tokens(rule: ChunkRule, tokenizer: Tokenizer, added: list[_Json]) -> ChunkRule:
    raw, normalized = list(rule.forbidden), []
    for token in added:
        content = token["content"]
        if not content or _blank(content):
            return _refuse(f"the added token {content!r} holds a blank")
        raw.append(content)
        if token.get("normalized") and tokenizer.normalizer:
            form = tokenizer.normalizer.normalize_str(content).strip(f" {SPACE_SYMBOL}")
            if not form or _blank(form):
                return _refuse(f"the added token {content!r} holds a blank when normalized")
            normalized.append(form)
    return replace(rule, forbidden=tuple(raw), forbidden_normalized=tuple(normalized))
