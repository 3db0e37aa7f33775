"""What cleaning up answers, and the recurring jobs."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from holdfast.domain.errors import Code
from holdfast.doors.http.described import Described
from holdfast.doors.http.native.answers.lifecycle import DeletedRows
from holdfast.doors.http.native.answers.words import At, Count


class Cleanup(msgspec.Struct):
    """What a step of a cleanup deleted, or would have."""

    dry_run: bool
    deleted: DeletedRows
    kept_unread: Annotated[int, Meta(ge=0, description="Sessions whose last checkpoint was handed to nobody.")]
    next_cursor: Annotated[str | None, Meta(description="Where the next step goes on; null after the last.")]


class Job(msgspec.Struct):
    """A recurring job: what it is to do, and how its last run went. What it never did is null."""

    name: Annotated[str, Meta(examples=["idempotency"])]
    every_seconds: Annotated[float, Meta(examples=[3600])]
    is_on: bool
    keep_seconds: Annotated[
        float | None, Meta(description="How long its rows are kept; null: for ever, or it has none.")
    ]
    next_run_at: At | None
    claimed_by: Annotated[str | None, Meta(description="The node that runs it now.")]
    claim_expires_at: At | None
    last_run_at: At | None
    last_duration_seconds: float | None
    last_count: Annotated[int | None, Meta(description="Rows that the last run treated.")]
    last_error: str | None
    run_count: Count | None
    failure_count: Count | None
    total_count: Count | None


class JobList(msgspec.Struct):
    """Every recurring job."""

    items: list[Job]
    next_cursor: None


DESCRIBED: Mapping[str, Described] = {
    "POST /v1/cleanup": Described(
        "clean_up", {200: Cleanup}, (Code.CURSOR_INVALID,), {"dry_run": True, "older_than_days": 90}
    ),
    "GET /v1/jobs": Described("list_jobs", {200: JobList}),
}
