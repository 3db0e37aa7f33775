create table webhook (
  id text not null primary key,
  account_id text not null,
  url text not null,
  description text,
  event_types text not null,
  project_id text,
  session_id text,
  secret text not null,
  previous_secret text,
  previous_secret_expires_at_ms integer,
  is_enabled integer not null,
  disabled_reason text,
  after_number integer not null,
  held_until_ms integer,
  failures integer not null,
  last_attempt_at_ms integer,
  last_success_at_ms integer,
  last_error text,
  created_at_ms integer not null,
  created_by text not null
) strict;
create index webhook_by_account on webhook (account_id, id);
create index webhook_by_enabled on webhook (is_enabled, id);

create table webhook_delivery (
  webhook_id text not null,
  event_id text not null,
  account_id text not null,
  event_type text not null,
  body_json text not null,
  status text not null,
  attempts integer not null,
  due_ms integer,
  give_up_ms integer not null,
  claim_id text,
  created_at_ms integer not null,
  last_attempt_at_ms integer,
  last_status integer,
  last_error text,
  last_duration_ms integer,
  finished_at_ms integer,
  primary key (webhook_id, event_id)
) strict;
-- What is to be sent: of each webhook what has been due the longest, however much of it waits.
create index webhook_delivery_by_due on webhook_delivery (webhook_id, due_ms) where due_ms is not null;
create index webhook_delivery_by_status on webhook_delivery (webhook_id, status, event_id);
create index webhook_delivery_by_time on webhook_delivery (created_at_ms, webhook_id, event_id);
create index webhook_delivery_by_account on webhook_delivery (account_id, webhook_id, event_id);

create table alert_rule (
  id text not null primary key,
  account_id text not null,
  name text,
  type text not null,
  after_ms integer,
  project_id text,
  agent text,
  is_enabled integer not null,
  created_at_ms integer not null,
  created_by text not null
) strict;
create index alert_rule_by_account on alert_rule (account_id, id);
create index alert_rule_by_enabled on alert_rule (is_enabled, id);

-- An alert that was told and is not over.
create table alert (
  account_id text not null,
  rule_id text not null,
  session_id text not null,
  opened_at_ms integer not null,
  seen_at_ms integer not null,
  primary key (account_id, rule_id, session_id)
) strict;
create index alert_by_rule on alert (rule_id);
create index alert_by_session on alert (session_id);

-- Since when a session has been at the progress that it tells; only of sessions that a rule is about.
create table progress_mark (
  session_id text not null primary key,
  account_id text not null,
  progress integer not null,
  checkpoint_count integer not null,
  since_ms integer not null
) strict;
create index progress_mark_by_account on progress_mark (account_id, session_id);
create index progress_mark_by_age on progress_mark (account_id, since_ms, session_id);
