create table project (
  account_id text collate "C" not null,
  id text collate "C" not null,
  name text collate "C" not null,
  repository text collate "C",
  status text collate "C" not null,
  external_ref text collate "C",
  external_url text collate "C",
  meta_json text collate "C",
  revision bigint not null,
  created_at_ms bigint not null,
  changed_at_ms bigint not null,
  key_id text collate "C" not null,
  correlation_id text collate "C" not null,
  primary key (account_id, id)
);

-- Whatever sessions have named until now.
insert into project (account_id, id, name, status, revision, created_at_ms, changed_at_ms, key_id, correlation_id)
select account_id, project_id, project_id, 'active', 1, min(started_at_ms), min(started_at_ms), min(key_id),
  min(correlation_id)
from session_profile where project_id is not null group by account_id, project_id;

create index session_profile_by_project on session_profile (project_id, id) where project_id is not null;

-- Beats leave this alone.
alter table session add column task_count bigint not null default 0;

create table task (
  id text collate "C" not null primary key,
  account_id text collate "C" not null,
  project_id text collate "C" not null,
  status text collate "C" not null,
  priority bigint not null,
  rank text collate "C" not null,
  ready_in text collate "C",
  held_by text collate "C",
  last_session_id text collate "C",
  waiting_count bigint not null,
  attempts bigint not null,
  revision bigint not null,
  name text collate "C" not null,
  description text collate "C",
  external_ref text collate "C",
  external_url text collate "C",
  depends_on_json text collate "C" not null,
  meta_json text collate "C",
  result_json text collate "C",
  status_reason text collate "C",
  error_message text collate "C",
  created_at_ms bigint not null,
  status_at_ms bigint not null,
  started_at_ms bigint,
  finished_at_ms bigint,
  key_id text collate "C" not null,
  correlation_id text collate "C" not null
);
create index task_by_account on task (account_id, id);
create index task_by_project on task (account_id, project_id, id);
create index task_by_status on task (account_id, project_id, status, id);
create index task_by_readiness on task (account_id, ready_in, rank) where ready_in is not null;
create index task_by_holder on task (held_by, id) where held_by is not null;
create index task_by_session on task (last_session_id, id) where last_session_id is not null;
create index task_by_reference on task (account_id, external_ref, id) where external_ref is not null;
create index task_by_end on task (finished_at_ms, id) where finished_at_ms is not null;

create table task_dependency (
  depends_on_id text collate "C" not null,
  task_id text collate "C" not null,
  account_id text collate "C" not null,
  project_id text collate "C" not null,
  primary key (depends_on_id, task_id)
);
create index task_dependency_by_account on task_dependency (account_id, depends_on_id, task_id);
create index task_dependency_by_project on task_dependency (account_id, project_id, task_id);
