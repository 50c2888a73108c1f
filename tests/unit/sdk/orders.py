"""One model in each of the two libraries, with the same JSON; and the same nested in another."""

from __future__ import annotations

from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field


class Order(BaseModel):
    """What a shop sends; its number has another name in JSON."""

    model_config = ConfigDict(extra="forbid")

    number: int = Field(alias="orderNumber", ge=1)
    prices: list[float] = []
    note: str | None = None


class OrderStruct(msgspec.Struct, forbid_unknown_fields=True):
    """The same."""

    number: int = msgspec.field(name="orderNumber")
    prices: list[float] = []
    note: str | None = None


def order(number: Any, **fields: Any) -> Order:
    """By its field's name in JSON, as pydantic has it."""
    return Order(orderNumber=number, **fields)
