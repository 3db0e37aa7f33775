"""Words that many answers share: ids, times, counts, and where a list goes on."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

SessionId = Annotated[str, Meta(examples=["sess_01KF5V3Z5RW8Q0M2X7N4T9C6BD"])]
HandoffId = Annotated[str, Meta(examples=["ho_01KF5V3Z5RBCDEFGHJKMNPQRST"])]
AccountId = Annotated[str, Meta(examples=["default"])]
MachineId = Annotated[str, Meta(examples=["mach_5f3c0f6f9f1f4a5c8d0e1b2a3c4d5e6f"])]
KeyId = Annotated[str, Meta(examples=["key_01KF5V3Z5RH1J3K5M7N9P0QRST"])]
Token = Annotated[int, Meta(description="Send it with every write; it is told this once.", examples=[7])]
Seconds = Annotated[float, Meta(examples=[60])]
At = Annotated[datetime, Meta(tz=True)]
Soon = Annotated[At | None, Meta(examples=["2026-01-17T10:03:00.000Z"])]
Interval = Annotated[float | None, Meta(examples=[60])]
TaskId = Annotated[str, Meta(examples=["task_01KF5V3Z5RTASK456789ABCDEF"])]
Count = Annotated[int, Meta(ge=0)]
NextCursor = Annotated[str, Meta(description="Where the list goes on; null on the last page.")]
Total = Annotated[int, Meta(description="All rows of the filter; only with `include_total=true`.")]
Redactions = Annotated[
    int, Meta(ge=0, description="Secrets of widely known forms that were taken out, at least.", examples=[0])
]
