"""Which server to try next: the ones given and the ones a server told us about.

Pure: no I/O. Invariant: every known server gets its turn before one is tried twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

Address = tuple[str, int]

LEARNT_MAX: Final = 256
"""More addresses than this from one server are not kept."""


class ServerPool:
    """A ring of server addresses."""

    def __init__(self, given: Sequence[Address]) -> None:
        if not given:
            raise ValueError("at least one server is needed")
        self._given = tuple(dict.fromkeys(given))
        self._ring = list(self._given)

    def __len__(self) -> int:
        return len(self._ring)

    def take(self) -> Address:
        """The next server to try; it goes to the end of the ring."""
        address = self._ring.pop(0)
        self._ring.append(address)
        return address

    def verified_name(self, address: Address) -> str:
        """The host name that the certificate of the server at ``address`` should be for.

        Servers tell each other's addresses as bare IP numbers; their certificates are for the name
        that the user gave.
        """
        return address[0] if address in self._given else self._given[0][0]

    def learn(self, urls: object) -> None:
        """Replace what was learnt before with ``connect_urls`` of a server's INFO."""
        if not isinstance(urls, list):
            return
        learnt = [address for url in urls[:LEARNT_MAX] if (address := parse_address(url))]
        known = dict.fromkeys((*self._given, *learnt))
        kept = [address for address in self._ring if address in known]
        self._ring = kept + _without(known, kept)


def _without(addresses: Iterable[Address], excluded: Sequence[Address]) -> list[Address]:
    return [address for address in addresses if address not in excluded]


def parse_address(url: object) -> Address | None:
    """``host:port`` or ``[v6]:port`` as a server writes it, or None where it is neither."""
    if not isinstance(url, str):
        return None
    host, colon, port = url.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()):
        return None
    number = int(port[:6])
    return (host.strip("[]"), number) if 0 < number < 65536 else None  # noqa: PLR2004 - ports
