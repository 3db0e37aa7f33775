create table project (
  account_id text not null,
  id text not null,
  name text not null,
  repository text,
  status text not null,
  external_ref text,
  external_url text,
  meta_json text,
  revision integer not null,
  created_at_ms integer not null,
  changed_at_ms integer not null,
  key_id text not null,
  correlation_id text not null,
  primary key (account_id, id)
) strict;

-- Whatever sessions have named until now.
insert into project (account_id, id, name, status, revision, created_at_ms, changed_at_ms, key_id, correlation_id)
select account_id, project_id, project_id, 'active', 1, min(started_at_ms), min(started_at_ms), min(key_id),
  min(correlation_id)
from session_profile where project_id is not null group by account_id, project_id;

create index session_profile_by_project on session_profile (project_id, id) where project_id is not null;

-- Beats leave this alone.
alter table session add column task_count integer not null default 0;

create table task (
  id text not null primary key,
  account_id text not null,
  project_id text not null,
  status text not null,
  priority integer not null,
  rank text not null,
  ready_in text,
  held_by text,
  last_session_id text,
  waiting_count integer not null,
  attempts integer not null,
  revision integer not null,
  name text not null,
  description text,
  external_ref text,
  external_url text,
  depends_on_json text not null,
  meta_json text,
  result_json text,
  status_reason text,
  error_message text,
  created_at_ms integer not null,
  status_at_ms integer not null,
  started_at_ms integer,
  finished_at_ms integer,
  key_id text not null,
  correlation_id text not null
) strict;
create index task_by_account on task (account_id, id);
create index task_by_project on task (account_id, project_id, id);
create index task_by_status on task (account_id, project_id, status, id);
create index task_by_readiness on task (account_id, ready_in, rank) where ready_in is not null;
create index task_by_holder on task (held_by, id) where held_by is not null;
create index task_by_session on task (last_session_id, id) where last_session_id is not null;
create index task_by_reference on task (account_id, external_ref, id) where external_ref is not null;
create index task_by_end on task (finished_at_ms, id) where finished_at_ms is not null;

create table task_dependency (
  depends_on_id text not null,
  task_id text not null,
  account_id text not null,
  project_id text not null,
  primary key (depends_on_id, task_id)
) strict;
create index task_dependency_by_account on task_dependency (account_id, depends_on_id, task_id);
create index task_dependency_by_project on task_dependency (account_id, project_id, task_id);
