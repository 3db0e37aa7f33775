create table account (
  id text collate "C" not null primary key,
  created_at_ms bigint not null
);

create table api_key (
  id text collate "C" not null primary key,
  account_id text collate "C" not null,
  name text collate "C" not null,
  scope text collate "C" not null,
  secret_sha256 text collate "C" not null,
  created_at_ms bigint not null,
  created_by text collate "C" not null,
  revoked_at_ms bigint
);
create unique index api_key_by_secret on api_key (secret_sha256);
create index api_key_by_account on api_key (account_id, id);

create table idempotency (
  id text collate "C" not null primary key,
  account_id text collate "C" not null,
  request_sha256 text collate "C" not null,
  created boolean not null,
  is_secret boolean not null,
  reply_json text collate "C" not null,
  created_at_ms bigint not null
);

create table client_session (
  account_id text collate "C" not null,
  client_session_id text collate "C" not null,
  session_id text collate "C" not null,
  primary key (account_id, client_session_id)
);

create table scope (
  account_id text collate "C" not null,
  scope text collate "C" not null,
  last_token bigint not null,
  last_exclusive_token bigint not null,
  primary key (account_id, scope)
);

-- Beats move due_ms and last_heartbeat_at_ms and nothing that is indexed.
create table session (
  id text collate "C" not null primary key,
  account_id text collate "C" not null,
  scope text collate "C" not null,
  held_scope text collate "C",
  exclusive boolean not null,
  fencing_token bigint,
  revision bigint not null,
  status text collate "C" not null,
  failed_by text collate "C",
  end_reason text collate "C",
  status_reason text collate "C",
  agent text collate "C" not null,
  holder_id text collate "C" not null,
  on_lapse text collate "C" not null,
  lease_ms bigint not null,
  heartbeat_interval_ms bigint,
  heartbeat_jitter_ms bigint not null,
  grace_ms bigint not null,
  fail_after_ms bigint,
  due_ms bigint,
  check_due_ms bigint,
  status_at_ms bigint not null,
  last_heartbeat_at_ms bigint not null,
  wake_pending_at_ms bigint,
  progress bigint,
  activity text collate "C",
  status_note text collate "C",
  stop_reason text collate "C",
  checkpoint_count bigint not null,
  taken_over_by text collate "C",
  archived_at_ms bigint
) with (fillfactor = 70);
create index session_by_account on session (account_id, id);
create index session_by_status on session (account_id, status, id);
create index session_by_identity on session (account_id, held_scope, agent, holder_id, id) where held_scope is not null;
create index session_by_holding on session (account_id, held_scope, exclusive, id) where held_scope is not null;
create index session_by_check on session (check_due_ms) where check_due_ms is not null;
create index session_by_wake on session (wake_pending_at_ms) where wake_pending_at_ms is not null;

create table session_profile (
  id text collate "C" not null primary key,
  account_id text collate "C" not null,
  preset text collate "C" not null,
  mode text collate "C",
  project_id text collate "C",
  venture text collate "C",
  repo text collate "C",
  track text collate "C",
  workspace text collate "C",
  machine_id text collate "C",
  slot bigint,
  parent_id text collate "C",
  group_id text collate "C",
  client_session_id text collate "C",
  branch text collate "C",
  commit_sha text collate "C",
  issue_number bigint,
  current_task_id text collate "C",
  meta_json text collate "C",
  started_at_ms bigint not null,
  ended_at_ms bigint,
  wake_at_ms bigint,
  error_details_json text collate "C",
  exit_code bigint,
  late boolean not null,
  reported_late boolean not null,
  took_over_from text collate "C",
  key_id text collate "C" not null,
  correlation_id text collate "C" not null
);

create table checkpoint (
  session_id text collate "C" not null,
  number bigint not null,
  id text collate "C" not null,
  account_id text collate "C" not null,
  scope text collate "C" not null,
  summary text collate "C" not null,
  work_completed_json text collate "C" not null,
  blockers_json text collate "C" not null,
  next_actions_json text collate "C" not null,
  state_json text collate "C",
  branch text collate "C",
  commit_sha text collate "C",
  created_at_ms bigint not null,
  key_id text collate "C" not null,
  correlation_id text collate "C" not null,
  primary key (session_id, number)
);
create index checkpoint_by_scope on checkpoint (account_id, scope, id);

create table audit (
  id text collate "C" not null primary key,
  account_id text collate "C" not null,
  at_ms bigint not null,
  key_id text collate "C" not null,
  action text collate "C" not null,
  target text collate "C" not null,
  reason text collate "C",
  correlation_id text collate "C" not null,
  data_json text collate "C" not null
);
create index audit_by_account on audit (account_id, id);

create table service_state (
  id bigint not null primary key check (id = 1),
  last_tick_at_ms bigint not null,
  paused_ms bigint not null,
  timeline text collate "C" not null,
  token_floor bigint not null
);

create table event_counter (
  account_id text collate "C" not null primary key,
  last_number bigint not null
);

create table event (
  account_id text collate "C" not null,
  number bigint not null,
  id text collate "C" not null,
  type text collate "C" not null,
  rule text collate "C" not null,
  session_id text collate "C" not null,
  at_ms bigint not null,
  recorded_at_ms bigint not null,
  actor text collate "C" not null,
  correlation_id text collate "C" not null,
  data_json text collate "C" not null,
  primary key (account_id, number)
);
create index event_by_session on event (session_id, number);
