"""Write segments: one frame a run, the text they share in a dictionary, the index at the end; see `footer`."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from harness.cassette.dictionary import common_text
from harness.cassette.file_io import FileOut, replace_file
from harness.cassette.footer import (
    MAGIC,
    VERSION,
    Footer,
    FramePlace,
    SegmentRun,
    encode_tail,
)
from harness.cassette.limits import MAX_RUN_BYTES
from harness.cassette.merkle import merkle_root
from harness.errors import CassetteError
from harness.redaction.tripwire import refuse_secrets
from runtime.core.canonical import fingerprint
from runtime.core.run import Header
from runtime.core.stored_header import read_header
from runtime.errors import UsageError
from runtime.journal.records import Chain, EndBody, Record, encode_payload

_LEVEL = 9
_LEVEL_WITH_DICTIONARY = 6
"""Above it, zstd searches the dictionary six times as long for one byte in a hundred."""
_SHORT_BYTES = 128 * 1024
"""Up to here a run is packed with the dictionary."""
_SAMPLE_RUNS, _SAMPLE_BYTES = 64, 4 * 1024 * 1024
"""Runs that are looked at for common text before the first is written."""


class _Waiting(msgspec.Struct, frozen=True):
    """A run that waits for the dictionary."""

    header: Header
    data: bytes
    entry: SegmentRun


class SegmentWriter:
    """Writes a segment to a temporary name and renames it when its block ends without an error.

    Memory is the first runs, one run and the footer, whatever the number of runs.

    Args:
        path: Where to.
        overwrite: Replace a file that is there.
        tenant_blind: Name tenants in the footer by their fingerprint only.

    Attributes:
        sampled_out: Runs that were left out by rule; stated in the footer.
        dropped: Runs that were left out because their recording was not whole; stated in the footer.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        overwrite: bool = False,
        tenant_blind: bool = False,
        sealed_at: str | None = None,
    ) -> None:
        self.path: Path = Path(path)
        self.sampled_out = self.dropped = 0
        self._runs: list[SegmentRun] = []
        self._known: set[str] = set()
        self._waiting: list[_Waiting] | None = []
        self._waiting_bytes = 0
        self._common = b""
        self._blind = tenant_blind
        self._sealed_at = sealed_at
        self._swap = replace_file(self.path, overwrite=overwrite)

    def __enter__(self) -> SegmentWriter:
        self._file: FileOut = self._swap.__enter__()
        self._file.write(MAGIC)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            try:
                self._finish()
            except BaseException as own:
                self._swap.__exit__(type(own), own, own.__traceback__)
                raise
        self._swap.__exit__(kind, error, trace)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._known

    def __len__(self) -> int:
        return len(self._known)

    def add(
        self, records: Iterable[Record], *, run_id: str | None = None, flags: tuple[str, ...] = ()
    ) -> None:
        """Add the records of one run.

        Args:
            records: In order of arrival, begin first.
            run_id: In place of the header's, where a journal holds two executions of one name.
            flags: Facts for the footer; see `SegmentRun.flags`.

        Raises:
            UsageError: If the run is in the segment already.
            CassetteError: If the records do not begin with a header, look secret, or are too many.
        """
        chain, lines = Chain(), []
        header: Header | None = None
        stop_reason = "crashed"
        for record in records:
            payload = encode_payload(record)
            chain.extend(payload)
            lines.append(payload)
            if record.phase == "begin":
                header = read_header(record.request)
            elif record.phase == "end":
                stop_reason = msgspec.json.decode(record.outcome, type=EndBody).stop_reason
        if header is None:
            raise CassetteError("the run does not begin with a header", where=str(self.path))
        name = run_id or header.run_id
        if name in self._known:
            raise UsageError(f"run {name!r} is in the segment already", where=str(self.path))
        data = b"\n".join(lines)
        if len(data) > MAX_RUN_BYTES:
            raise CassetteError(
                f"run {name!r} passes the limit of {MAX_RUN_BYTES} bytes", where=str(self.path)
            )
        refuse_secrets(data, header, where=str(self.path))
        self._known.add(name)
        entry = self._entry(header, name, stop_reason, root=chain.root, size=len(data), records=len(lines))
        self._put(_Waiting(header, data, msgspec.structs.replace(entry, flags=flags)))

    def _entry(
        self, header: Header, name: str, stop_reason: str, *, root: str, size: int, records: int
    ) -> SegmentRun:
        """Return the footer's entry of a run that has no place in the file yet."""
        return SegmentRun(
            request_id=header.request_id,
            run_id=name,
            offset=0,
            length=0,
            size=size,
            crc="",
            root=root,
            tenant=fingerprint(header.tenant) if self._blind else header.tenant,
            task=header.task,
            stop_reason=stop_reason,
            records=records,
            started_at=header.started_at,
        )

    def _put(self, run: _Waiting) -> None:
        if self._waiting is None:
            self._write(run)
            return
        self._waiting.append(run)
        self._waiting_bytes += len(run.data)
        if len(self._waiting) >= _SAMPLE_RUNS or self._waiting_bytes >= _SAMPLE_BYTES:
            self._settle()

    def _settle(self) -> None:
        """Make the dictionary from the runs seen so far, then write them."""
        import zstandard

        plain = zstandard.ZstdCompressor(level=_LEVEL)
        self._pack_long = plain.compress
        waiting, self._waiting = self._waiting or [], None
        if len(waiting) > 1:
            self._common = common_text(run.header for run in waiting)
            shared = zstandard.ZstdCompressionDict(self._common, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
            self._pack_short = zstandard.ZstdCompressor(
                level=_LEVEL_WITH_DICTIONARY, dict_data=shared
            ).compress
        else:
            self._pack_short = plain.compress
        for run in waiting:
            self._write(run)

    def _write(self, run: _Waiting) -> None:
        # A dictionary makes short runs smaller and long ones larger: it costs zstd its better search.
        short = len(run.data) <= _SHORT_BYTES
        frame = self._pack_short(run.data) if short else self._pack_long(run.data)
        self._runs.append(
            msgspec.structs.replace(
                run.entry, offset=self._file.tell(), length=len(frame), crc=f"{zlib.crc32(frame):08x}"
            )
        )
        self._file.write(frame)

    def _finish(self) -> None:
        import zstandard

        if self._waiting is not None:
            self._settle()
        dictionary = None
        if self._common:
            frame = zstandard.ZstdCompressor(level=19).compress(self._common)
            dictionary = FramePlace(
                offset=self._file.tell(),
                length=len(frame),
                size=len(self._common),
                crc=f"{zlib.crc32(frame):08x}",
            )
            self._file.write(frame)
        footer = Footer(
            version=VERSION,
            root=merkle_root([run.root for run in self._runs]),
            runs=tuple(self._runs),
            dictionary=dictionary,
            sealed_at=self._sealed_at,
            sampled_out=self.sampled_out,
            dropped=self.dropped,
        )
        self._file.write(encode_tail(footer))
