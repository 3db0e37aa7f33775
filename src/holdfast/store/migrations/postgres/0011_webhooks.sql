create table webhook (
  id text collate "C" not null primary key,
  account_id text collate "C" not null,
  url text collate "C" not null,
  description text collate "C",
  event_types text collate "C" not null,
  project_id text collate "C",
  session_id text collate "C",
  secret text collate "C" not null,
  previous_secret text collate "C",
  previous_secret_expires_at_ms bigint,
  is_enabled boolean not null,
  disabled_reason text collate "C",
  after_number bigint not null,
  held_until_ms bigint,
  failures bigint not null,
  last_attempt_at_ms bigint,
  last_success_at_ms bigint,
  last_error text collate "C",
  created_at_ms bigint not null,
  created_by text collate "C" not null
);
create index webhook_by_account on webhook (account_id, id);
create index webhook_by_enabled on webhook (is_enabled, id);

create table webhook_delivery (
  webhook_id text collate "C" not null,
  event_id text collate "C" not null,
  account_id text collate "C" not null,
  event_type text collate "C" not null,
  body_json text collate "C" not null,
  status text collate "C" not null,
  attempts bigint not null,
  due_ms bigint,
  give_up_ms bigint not null,
  claim_id text collate "C",
  created_at_ms bigint not null,
  last_attempt_at_ms bigint,
  last_status bigint,
  last_error text collate "C",
  last_duration_ms bigint,
  finished_at_ms bigint,
  primary key (webhook_id, event_id)
);
-- What is to be sent: of each webhook what has been due the longest, however much of it waits.
create index webhook_delivery_by_due on webhook_delivery (webhook_id, due_ms) where due_ms is not null;
create index webhook_delivery_by_status on webhook_delivery (webhook_id, status, event_id);
create index webhook_delivery_by_time on webhook_delivery (created_at_ms, webhook_id, event_id);
create index webhook_delivery_by_account on webhook_delivery (account_id, webhook_id, event_id);

create table alert_rule (
  id text collate "C" not null primary key,
  account_id text collate "C" not null,
  name text collate "C",
  type text collate "C" not null,
  after_ms bigint,
  project_id text collate "C",
  agent text collate "C",
  is_enabled boolean not null,
  created_at_ms bigint not null,
  created_by text collate "C" not null
);
create index alert_rule_by_account on alert_rule (account_id, id);
create index alert_rule_by_enabled on alert_rule (is_enabled, id);

-- An alert that was told and is not over.
create table alert (
  account_id text collate "C" not null,
  rule_id text collate "C" not null,
  session_id text collate "C" not null,
  opened_at_ms bigint not null,
  seen_at_ms bigint not null,
  primary key (account_id, rule_id, session_id)
);
create index alert_by_rule on alert (rule_id);
create index alert_by_session on alert (session_id);

-- Since when a session has been at the progress that it tells; only of sessions that a rule is about.
create table progress_mark (
  session_id text collate "C" not null primary key,
  account_id text collate "C" not null,
  progress bigint not null,
  checkpoint_count bigint not null,
  since_ms bigint not null
);
create index progress_mark_by_account on progress_mark (account_id, session_id);
create index progress_mark_by_age on progress_mark (account_id, since_ms, session_id);
