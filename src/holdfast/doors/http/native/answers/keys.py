"""What keys answer."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast.domain.actor import KeyScope
from holdfast.domain.errors import Code
from holdfast.doors.http.described import Described
from holdfast.doors.http.native.answers.words import AccountId, At, KeyId, NextCursor, Total


class Key(msgspec.Struct, kw_only=True):
    """An API key: all but the key itself."""

    id: KeyId
    account_id: AccountId
    name: Annotated[str, Meta(examples=["ci"])]
    scope: Annotated[KeyScope, Meta(examples=["agent"])]
    scopes: Annotated[list[KeyScope], Meta(examples=[["agent"]])]
    project_id: Annotated[str | None, Meta(description="The one project whose sessions it sees and writes.")]
    created_at: At
    created_by: KeyId
    expires_at: At | None
    rotated_at: At | None
    previous_expires_at: Annotated[At | None, Meta(description="Until when the secret before the rotation is good.")]
    last_used_at: Annotated[At | None, Meta(description="To within some minutes.")]
    revoked_at: At | None


class CreatedKey(Key, kw_only=True):
    """A key with a new secret."""

    key: Annotated[str, Meta(description="Shown this once.", examples=["hfk_…"])]


class KeyList(msgspec.Struct):
    """A page of keys, newest first."""

    items: list[Key]
    next_cursor: NextCursor | None
    total: Total | UnsetType = UNSET


DESCRIBED: Mapping[str, Described] = {
    "POST /v1/keys": Described(
        "create_key", {201: CreatedKey}, (Code.SECRET_ALREADY_SHOWN,), {"name": "ci", "scopes": ["agent"]}
    ),
    "GET /v1/keys": Described("list_keys", {200: KeyList}, (Code.CURSOR_INVALID,)),
    "POST /v1/keys/{id}/rotate": Described(
        "rotate_key",
        {201: CreatedKey},
        (Code.NOT_FOUND, Code.KEY_ENDED, Code.SECRET_ALREADY_SHOWN),
        {"overlap_seconds": 3600},
    ),
    "DELETE /v1/keys/{id}": Described("revoke_key", {200: Key}, (Code.NOT_FOUND,)),
}
