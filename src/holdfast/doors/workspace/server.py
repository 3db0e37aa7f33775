"""The same commands on a server that checkouts share: each becomes one request, and its answer the same report."""

import os
from collections.abc import Callable
from typing import Any

from holdfast.client.api import Api, ApiRefusal, Unavailable, Unreachable
from holdfast.client.credentials import CredentialsInvalid, find_credentials
from holdfast.client.directories import data_directory, machine_id
from holdfast.commands.workspace_entries import AddEscalation, ResolveEscalation, SetGates
from holdfast.commands.workspace_starts import ClearWorkspace, KeepBaseline, StartWorkspace, TakeOverWorkspace
from holdfast.commands.workspaces import BeatWorkspace
from holdfast.domain.errors import Code
from holdfast.domain.limits import NAME_CHARS_MAX
from holdfast.domain.scope import ScopeParts, canonical
from holdfast.domain.workspace import EntryKind
from holdfast.doors.shown import shown
from holdfast.doors.workspace import words
from holdfast.doors.workspace.place import Place
from holdfast.doors.workspace.words import Stopped
from holdfast.engine import workspaces

TIMEOUT_SECONDS = 10.0

PATHS: dict[type[Any], str] = {
    StartWorkspace: "start",
    BeatWorkspace: "heartbeat",
    TakeOverWorkspace: "takeover",
    ClearWorkspace: "clear",
    AddEscalation: "escalations",
    ResolveEscalation: "escalations/resolve",
    SetGates: "gates",
    KeepBaseline: "baseline",
}


class Remote:
    """A workspace as a server knows it: by its repository's name and profile, else by this machine and path."""

    def __init__(self, place: Place, locality: str | None, *, url: str | None) -> None:
        environ = {**os.environ, **({} if url is None else {"HOLDFAST_URL": url})}
        try:
            found = find_credentials(environ)
            self._api = Api(found.url, found.key, timeout_seconds=TIMEOUT_SECONDS, ca_file=found.ca_file)
        except (CredentialsInvalid, ValueError) as error:
            raise Stopped(words.USAGE, "credentials_invalid", shown(str(error))) from error
        # However somebody came here, it is one place.
        name = locality or f"{machine_id(data_directory(os.environ))}:{os.path.realpath(place.root)}"
        self.scope = canonical(ScopeParts(repo=name, workspace=place.profile))
        self.path = f"{found.url} {self.scope}"
        self._workspace = place.profile
        self._repo = locality if locality and len(locality) <= NAME_CHARS_MAX else None

    def run(self, command: Any) -> dict[str, Any]:
        """What a command answers. Raises: Stopped."""
        body = {name: value for name, value in command._asdict().items() if value is not None and name != "parts"}
        if isinstance(command, StartWorkspace):
            body["workspace"] = self._workspace
            if self._repo is not None:
                body["repo"] = self._repo
        if isinstance(command, SetGates):
            body["gates"] = [{"text": text, "met": is_met} for text, is_met in command.gates]
        if isinstance(command, KeepBaseline):
            import json

            body["digests"] = json.loads(body.pop("sections_json"))
        return self._ask("POST", f"/v1/workspaces/{PATHS[type(command)]}", body=body)

    def read(self, question: Callable[..., Any], **asked: Any) -> Any:
        """What a question about committed rows is answered. Raises: Stopped."""
        actor_id = asked.get("actor_id")
        query = {"scope": self.scope, **({} if actor_id is None else {"actor_id": actor_id})}
        found = self._ask("GET", "/v1/workspaces", query=query)
        if question is workspaces.status:
            return found["session"]
        if question is workspaces.baseline:
            return found["baseline"]
        if question is workspaces.sections:
            return found["sections"]
        assert question is workspaces.listed
        is_gates = asked["kind"] == EntryKind.GATE
        return found["sections"]["gates"] if is_gates else {"escalations": found["sections"]["escalations"]}

    def is_current(self, token: str) -> bool:
        """Whether a token is the one under which the workspace is held. Raises: Stopped."""
        return self._is_current(self.scope, token)

    def holds(self, session_id: str, token: str) -> bool:
        """Whether a session of any scope holds it under this token. Raises: Stopped."""
        from urllib.parse import quote

        try:
            session = self._ask("GET", f"/v1/sessions/{quote(session_id, safe='')}")
        except Stopped as stopped:
            if stopped.code == Code.NOT_FOUND.value:
                return False
            raise
        return self._is_current(str(session["scope"]), token)

    def _is_current(self, scope: str, token: str) -> bool:
        try:
            self._ask("GET", "/v1/fence", query={"scope": scope, "token": token})
        except Stopped as stopped:
            if stopped.code in (Code.FENCING_TOKEN_STALE.value, Code.VALIDATION_FAILED.value):
                return False
            raise
        return True

    def _ask(
        self, method: str, path: str, *, body: dict[str, Any] | None = None, query: dict[str, str] | None = None
    ) -> dict[str, Any]:
        # Sent twice where the first answer was lost, it is carried out once.
        key = None if body is None else os.urandom(16).hex()
        content: Any = body
        try:
            answer = self._api.request(method, path, body=content, query=query, idempotency_key=key)
        except ApiRefusal as refusal:
            raise _stopped(refusal) from refusal
        except Unavailable as error:
            raise Stopped(words.CONFLICT, "unavailable", shown(str(error)), "try again") from error
        except Unreachable as error:
            text = f"no Holdfast server answers at {error.url}"
            raise Stopped(words.FAILED, "unreachable", shown(text), "start one, or set HOLDFAST_URL") from error
        found: Any = answer.body
        assert isinstance(found, dict)
        return found


def _stopped(refusal: ApiRefusal) -> Stopped:
    try:
        code = Code(refusal.code)
    except ValueError:
        exit_code = words.REFUSED if refusal.status < 500 else words.FAILED
        return Stopped(exit_code, refusal.code, shown(refusal.detail))
    text = refusal.detail
    errors: Any = refusal.problem.get("errors") or []
    text += "".join(f" {error['field']}: {error['message']}." for error in errors)
    return Stopped(words.EXIT_CODES.get(code, words.REFUSED), code.value, shown(text), words.SUGGESTIONS.get(code))
