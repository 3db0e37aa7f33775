"""Every route that is served, of all dialects."""

from holdfast.doors.http import crane, native

ROUTES = [*native.ROUTES, *crane.ROUTES]
