create table job (
  name text collate "C" not null primary key,
  next_run_at_ms bigint not null,
  claim_id text collate "C",
  claimed_by text collate "C",
  claim_expires_at_ms bigint,
  last_run_at_ms bigint,
  last_duration_ms bigint,
  last_count bigint not null,
  last_error text collate "C",
  run_count bigint not null,
  failure_count bigint not null,
  total_count bigint not null
);

-- What was kept before was promised for a day.
alter table idempotency add column expires_at_ms bigint;
update idempotency set expires_at_ms = created_at_ms + 86400000;

-- How old rows are found: each by its time, and by its key after it.
create index idempotency_by_expiry on idempotency (expires_at_ms, id) where expires_at_ms is not null;
create index event_by_time on event (recorded_at_ms, account_id, number);
create index audit_by_time on audit (at_ms, id);
create index session_by_end on session (status_at_ms, id) where held_scope is null and archived_at_ms is null;
create index session_by_archive on session (archived_at_ms, id) where archived_at_ms is not null;
