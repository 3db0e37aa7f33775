create table account (
  id text not null primary key,
  created_at_ms integer not null
) strict;

create table api_key (
  id text not null primary key,
  account_id text not null,
  name text not null,
  scope text not null,
  secret_sha256 text not null,
  created_at_ms integer not null,
  created_by text not null,
  revoked_at_ms integer
) strict;
create unique index api_key_by_secret on api_key (secret_sha256);
create index api_key_by_account on api_key (account_id, id);

create table idempotency (
  id text not null primary key,
  account_id text not null,
  request_sha256 text not null,
  created integer not null,
  is_secret integer not null,
  reply_json text not null,
  created_at_ms integer not null
) strict;

create table client_session (
  account_id text not null,
  client_session_id text not null,
  session_id text not null,
  primary key (account_id, client_session_id)
) strict;

create table scope (
  account_id text not null,
  scope text not null,
  last_token integer not null,
  last_exclusive_token integer not null,
  primary key (account_id, scope)
) strict;

-- Beats move due_ms and last_heartbeat_at_ms and nothing that is indexed.
create table session (
  id text not null primary key,
  account_id text not null,
  scope text not null,
  held_scope text,
  exclusive integer not null,
  fencing_token integer,
  revision integer not null,
  status text not null,
  failed_by text,
  end_reason text,
  status_reason text,
  agent text not null,
  holder_id text not null,
  on_lapse text not null,
  lease_ms integer not null,
  heartbeat_interval_ms integer,
  heartbeat_jitter_ms integer not null,
  grace_ms integer not null,
  fail_after_ms integer,
  due_ms integer,
  check_due_ms integer,
  status_at_ms integer not null,
  last_heartbeat_at_ms integer not null,
  wake_pending_at_ms integer,
  progress integer,
  activity text,
  status_note text,
  stop_reason text,
  checkpoint_count integer not null,
  taken_over_by text,
  archived_at_ms integer
) strict;
create index session_by_account on session (account_id, id);
create index session_by_status on session (account_id, status, id);
create index session_by_identity on session (account_id, held_scope, agent, holder_id, id) where held_scope is not null;
create index session_by_holding on session (account_id, held_scope, exclusive, id) where held_scope is not null;
create index session_by_check on session (check_due_ms) where check_due_ms is not null;
create index session_by_wake on session (wake_pending_at_ms) where wake_pending_at_ms is not null;

create table session_profile (
  id text not null primary key,
  account_id text not null,
  preset text not null,
  mode text,
  project_id text,
  venture text,
  repo text,
  track text,
  workspace text,
  machine_id text,
  slot integer,
  parent_id text,
  group_id text,
  client_session_id text,
  branch text,
  commit_sha text,
  issue_number integer,
  current_task_id text,
  meta_json text,
  started_at_ms integer not null,
  ended_at_ms integer,
  wake_at_ms integer,
  error_details_json text,
  exit_code integer,
  late integer not null,
  reported_late integer not null,
  took_over_from text,
  key_id text not null,
  correlation_id text not null
) strict;

create table checkpoint (
  session_id text not null,
  number integer not null,
  id text not null,
  account_id text not null,
  scope text not null,
  summary text not null,
  work_completed_json text not null,
  blockers_json text not null,
  next_actions_json text not null,
  state_json text,
  branch text,
  commit_sha text,
  created_at_ms integer not null,
  key_id text not null,
  correlation_id text not null,
  primary key (session_id, number)
) strict;
create index checkpoint_by_scope on checkpoint (account_id, scope, id);

create table audit (
  id text not null primary key,
  account_id text not null,
  at_ms integer not null,
  key_id text not null,
  action text not null,
  target text not null,
  reason text,
  correlation_id text not null,
  data_json text not null
) strict;
create index audit_by_account on audit (account_id, id);

create table service_state (
  id integer not null primary key check (id = 1),
  last_tick_at_ms integer not null,
  paused_ms integer not null,
  timeline text not null,
  token_floor integer not null
) strict;

create table event_counter (
  account_id text not null primary key,
  last_number integer not null
) strict;

create table event (
  account_id text not null,
  number integer not null,
  id text not null,
  type text not null,
  rule text not null,
  session_id text not null,
  at_ms integer not null,
  recorded_at_ms integer not null,
  actor text not null,
  correlation_id text not null,
  data_json text not null,
  primary key (account_id, number)
) strict;
create index event_by_session on event (session_id, number);
