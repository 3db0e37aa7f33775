create table job (
  name text not null primary key,
  next_run_at_ms integer not null,
  claim_id text,
  claimed_by text,
  claim_expires_at_ms integer,
  last_run_at_ms integer,
  last_duration_ms integer,
  last_count integer not null,
  last_error text,
  run_count integer not null,
  failure_count integer not null,
  total_count integer not null
) strict;

-- What was kept before was promised for a day.
alter table idempotency add column expires_at_ms integer;
update idempotency set expires_at_ms = created_at_ms + 86400000;

-- How old rows are found: each by its time, and by its key after it.
create index idempotency_by_expiry on idempotency (expires_at_ms, id) where expires_at_ms is not null;
create index event_by_time on event (recorded_at_ms, account_id, number);
create index audit_by_time on audit (at_ms, id);
create index session_by_end on session (status_at_ms, id) where held_scope is null and archived_at_ms is null;
create index session_by_archive on session (archived_at_ms, id) where archived_at_ms is not null;
