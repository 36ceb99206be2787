"""Text to token ids: by the tokenizer at first, by the kernels of its route once they pay.

Loading Numba and its cached kernels takes about 0.3 s, more than answering a few queries with the
tokenizer itself.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from qdrant_static.encoders.tokenroutes import PlainTokens, Route, TokenRules, choose_route

if TYPE_CHECKING:
    import numpy.typing as npt
    from tokenizers import Tokenizer

    from qdrant_static.encoders.textblocks import TextBlock, TextSource, TokenRows

_FEW_ROWS = 64
_SHORT_TEXT = 2048
_PLAIN_CHARACTERS = 1 << 20
"""How much text the tokenizer itself takes before Numba is loaded: at 3.5 MB/s it takes 0.3 s,
about as long as loading Numba and its cached kernels. So whatever is encoded takes at most twice
the time of the better choice."""


class LazyTokenizer:
    """A tokenizer and its fastest route, which is made when it pays.

    It can be pickled, without kernels and buffers. Threads may share one.

    Args:
        tokenizer: Without truncation and padding.
        rules: What happens to its ids.

    Attributes:
        plain: The tokenizer with the rules.
        choice: The route, and the reason for it.
    """

    def __init__(self, tokenizer: Tokenizer, rules: TokenRules) -> None:
        self.plain = PlainTokens(tokenizer, rules)
        self.choice = choose_route(tokenizer)
        self._start()

    def __getstate__(self) -> dict[str, Any]:
        """Return all but what belongs to this process: kernels, buffers and a lock."""
        return {"plain": self.plain, "choice": self.choice}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def _start(self) -> None:
        self._route: Route | None = None
        self._loading = threading.Lock()
        self._workspaces: list[Any] = []
        self._plain_characters = 0

    def load(self) -> None:
        """Load Numba and make the route, if it is not made."""
        if self._route is None:
            with self._loading:
                if self._route is None:
                    self._route = self.choice.make(self.plain)

    def few_rows(self, source: TextSource) -> TokenRows | None:
        """Tokenize a small input by the tokenizer itself.

        Returns:
            None if the kernels are loaded, or loading them pays.
        """
        if self._route is not None or len(source) > _FEW_ROWS:
            return None
        ranges = list(source.ranges())
        if len(ranges) > 1:
            return None
        blocks = [source.block(*span) for span in ranges]
        self._plain_characters += sum(int((one.stops - one.starts).sum()) for one in blocks)
        if self._plain_characters > _PLAIN_CHARACTERS:
            return None
        return self.plain.rows([block.text(row) for block in blocks for row in range(len(block))])

    def one_plain(self, text: str) -> npt.NDArray[np.int32] | None:
        """Tokenize one short text by the tokenizer itself (20 to 30 us for ten words).

        Returns:
            int32 (tokens,); None if a route is loaded, or the text is long.
        """
        if self._route is not None or len(text) > _SHORT_TEXT:
            return None
        return self.plain.ids(text)[0]

    def one_scan(self, text: str, workspace: Any) -> TokenRows | None:
        """Tokenize one short text by the WordPiece kernel (10 us).

        Args:
            text: The text.
            workspace: A workspace of `borrowed`, which holds the result.

        Returns:
            None if another route is loaded, or the text needs more than the kernel.

        Raises:
            UnicodeEncodeError: The text is not Unicode.
        """
        scan_one = getattr(self._route, "scan_one", None)
        raw = text.encode()
        if scan_one is None or len(raw) > _SHORT_TEXT:
            return None
        found: TokenRows | None = scan_one(raw, workspace)
        return found

    def scan(self, block: TextBlock, workspace: Any) -> TokenRows:
        """Tokenize a block of texts by the route, which must be loaded.

        Args:
            block: The texts.
            workspace: A workspace of `borrowed`, which holds the result.

        Raises:
            TextInputError: A text is not UTF-8; names its row.
        """
        route = cast("Route", self._route)
        try:
            return route.scan(block, workspace)
        except UnicodeDecodeError:
            for row in range(len(block)):
                block.text(row)  # raises our error, which names the row
            raise

    def all_ids(self, source: TextSource) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Tokenize texts by the route; loads it.

        Returns:
            int32 (tokens,), the ids of all rows; int64 (n + 1,), where each row begins and ends.
        """
        self.load()
        counts, ids = [np.zeros(1, np.int64)], [np.zeros(0, np.int32)]
        for span in source.ranges():
            with self.borrowed() as workspace:
                found = self.scan(source.block(*span), workspace)
                counts.append(found.counts)
                at = np.arange(int(found.counts.sum())) + np.repeat(
                    found.starts - (np.cumsum(found.counts) - found.counts), found.counts
                )
                ids.append(found.ids[at])
        return np.concatenate(ids), np.cumsum(np.concatenate(counts))

    def borrowed(self) -> _Borrowed:
        """Return a context manager that gives one thread a workspace of the route."""
        return _Borrowed(self)


class _Borrowed:
    """A workspace for as long as a block takes. Lists pop and append atomically."""

    def __init__(self, owner: LazyTokenizer) -> None:
        self._owner = owner

    def __enter__(self) -> Any:
        try:
            self._workspace = self._owner._workspaces.pop()
        except IndexError:
            route = self._owner._route
            self._workspace = None if route is None else route.new_workspace()
        return self._workspace

    def __exit__(self, *_: object) -> None:
        self._owner._workspaces.append(self._workspace)
