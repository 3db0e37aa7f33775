create table workspace (
  account_id text not null,
  scope text not null,
  project_id text,
  revision integer not null,
  session_id text,
  start_count integer not null,
  beat_count integer not null,
  last_started_at_ms integer not null,
  supervisor_id text,
  activity_at_ms integer,
  legacy_json text,
  primary key (account_id, scope)
) strict;

create table workspace_entry (
  account_id text not null,
  scope text not null,
  id text not null,
  kind text not null,
  session_id text,
  position integer not null,
  flag integer not null,
  text text not null,
  body_json text,
  at_ms integer not null,
  primary key (account_id, scope, id)
) strict;
create index workspace_entry_by_kind on workspace_entry (account_id, scope, kind, id);
