"""Projects: made by name or by the first session that names one, and changed."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from holdfast.commands.accounts import account_key, require_account
from holdfast.commands.bodies import Body
from holdfast.commands.lists import Filter, ListSpec, Operator
from holdfast.commands.notes import patched_meta
from holdfast.commands.releasing import project_key
from holdfast.commands.rows import Need
from holdfast.commands.view import Reply, View
from holdfast.domain.actor import Actor
from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.events import Data, EventType, Happening, Rule
from holdfast.domain.project import Project, opened

PROJECT_LIST = ListSpec(
    "projects",
    (Project,),
    {
        "status": (Filter("project", "status"),),
        "repository": (Filter("project", "repository"),),
        "external_ref": (Filter("project", "external_ref"),),
        "bound_project_id": (Filter("project", "id"),),
        "q": tuple(Filter("project", name, Operator.CONTAINS) for name in ("id", "name", "repository")),
    },
    order="id",
    descending=False,
)

CHANGEABLE = ("name", "repository", "status", "external_ref", "external_url")


class CreateProject(NamedTuple):
    """Make a project. project_id: None: one is made up. name: None: its id.

    fields: pairs of a column in CHANGEABLE and its value.
    """

    project_id: str | None
    fields: tuple[tuple[str, str | None], ...]
    meta_json: str | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account, and the project's row."""
        project_id = self.project_id or actor.project_id
        named = () if project_id is None else (project_key(actor.account_id, project_id),)
        return account_key(actor.account_id), *named

    def decide(self, view: View) -> Reply:
        """The project. Raises: project_exists, not_found for another project than the one the actor is bound to."""
        require_account(view)
        named = self.project_id or view.actor.project_id
        # One that is made up is new in every round, and is not asked for: it would never be found loaded.
        project_id = named or view.mint("proj")
        require_own(view.actor, project_id)
        if named is not None and view.get(Project, view.actor.account_id, project_id) is not None:
            ways_out = (
                WayOut(Action.READ_PROJECT, target=project_id),
                WayOut(Action.CHANGE_PROJECT, target=project_id),
            )
            raise Refusal(Code.PROJECT_EXISTS, project_id=project_id, ways_out=ways_out)
        given: dict[str, Any] = dict(self.fields)
        project = _opened(view, project_id)._replace(**given, meta_json=self.meta_json)
        view.put(project)
        _tell(view, project, EventType.PROJECT_CREATED, Rule.REQUESTED)
        return Reply(project_body(project), created=True)


class PatchProject(NamedTuple):
    """Change a project.

    fields: pairs of a column in CHANGEABLE and its new value, None to clear it.
    meta_patch_json: a JSON merge patch for the free JSON, as text; None leaves it alone.
    revision: the one that the caller knows; None: any.
    """

    project_id: str
    revision: int | None
    fields: tuple[tuple[str, str | None], ...]
    meta_patch_json: str | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The project's row."""
        return (project_key(actor.account_id, self.project_id),)

    def decide(self, view: View) -> Reply:
        """The changed project, at its next revision. Raises: not_found, revision_conflict, validation_failed."""
        before = find_project(view, self.project_id)
        if self.revision is not None and self.revision != before.revision:
            ways_out = (
                WayOut(Action.READ_PROJECT, target=before.id),
                WayOut(Action.REPEAT_WITH_REVISION, target=before.id),
            )
            subject = f"Project {before.id}"
            data: dict[str, Any] = {"subject": subject, "revision": before.revision, "given": self.revision}
            raise Refusal(Code.REVISION_CONFLICT, ways_out=ways_out, **data)
        given: dict[str, Any] = dict(self.fields)
        project = before._replace(**given)
        if self.meta_patch_json is not None:
            project = project._replace(meta_json=patched_meta(project.meta_json, self.meta_patch_json))
        if project != before:
            project = project._replace(revision=before.revision + 1, changed_at_ms=view.now.wall_ms)
            view.put(project)
            _tell(view, project, EventType.PROJECT_CHANGED, Rule.REQUESTED)
        return Reply(project_body(project))


def find_project(view: View, project_id: str) -> Project:
    """A project that there is for the actor. Raises: not_found, the same for a foreign one as for none."""
    require_own(view.actor, project_id)
    project = view.get(Project, view.actor.account_id, project_id)
    if project is None:
        raise project_not_found(view.actor)
    return project


def require_own(actor: Actor, project_id: str) -> None:
    """Refuse another project to an actor that is bound to one. Raises: not_found."""
    if actor.project_id not in (None, project_id):
        raise project_not_found(actor)


def project_not_found(actor: Actor) -> Refusal:
    """The answer for a project that there is not, or not for this caller."""
    ways_out = [WayOut(Action.LIST_PROJECTS)]
    if actor.project_id is None:
        ways_out.append(WayOut(Action.CREATE_PROJECT))
    return Refusal(Code.NOT_FOUND, what="project", ways_out=tuple(ways_out))


def ensure_project(view: View, project_id: str | None) -> None:
    """Make the project that a session names, if it names one and there is none yet."""
    if project_id is not None and view.get(Project, view.actor.account_id, project_id) is None:
        project = _opened(view, project_id)
        view.put(project)
        _tell(view, project, EventType.PROJECT_CREATED, Rule.NAMED_BY_SESSION)


def _opened(view: View, project_id: str) -> Project:
    return opened(
        view.actor.account_id,
        project_id,
        key_id=view.actor.key_id,
        correlation_id=view.correlation_id,
        now_ms=view.now.wall_ms,
    )


def _tell(view: View, project: Project, event_type: EventType, rule: Rule) -> None:
    data: Data = {"project_id": project.id, "status": str(project.status), "revision": project.revision}
    happening = Happening(event_type, rule, view.now.wall_ms, data)
    view.emit((happening,), session_id="", account_id=project.account_id, project_id=project.id)


def project_body(project: Project) -> Body:
    """A project as everybody may see it."""
    return {
        "id": project.id,
        "name": project.name,
        "repository": project.repository,
        "status": str(project.status),
        "external_ref": project.external_ref,
        "external_url": project.external_url,
        "meta_json": project.meta_json,
        "revision": project.revision,
        "created_at_ms": project.created_at_ms,
        "changed_at_ms": project.changed_at_ms,
        "correlation_id": project.correlation_id,
    }
