create table workspace (
  account_id text collate "C" not null,
  scope text collate "C" not null,
  project_id text collate "C",
  revision bigint not null,
  session_id text collate "C",
  start_count bigint not null,
  beat_count bigint not null,
  last_started_at_ms bigint not null,
  supervisor_id text collate "C",
  activity_at_ms bigint,
  legacy_json text collate "C",
  primary key (account_id, scope)
);

create table workspace_entry (
  account_id text collate "C" not null,
  scope text collate "C" not null,
  id text collate "C" not null,
  kind text collate "C" not null,
  session_id text collate "C",
  position bigint not null,
  flag boolean not null,
  text text collate "C" not null,
  body_json text collate "C",
  at_ms bigint not null,
  primary key (account_id, scope, id)
);
create index workspace_entry_by_kind on workspace_entry (account_id, scope, kind, id);
