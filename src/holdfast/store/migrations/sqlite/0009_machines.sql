-- A machine's beats move due_ms and last_heartbeat_at_ms and nothing that is indexed.
create table machine (
  account_id text not null,
  id text not null,
  hostname text,
  boot_id text,
  capacity_json text,
  status text not null,
  status_at_ms integer not null,
  lease_ms integer not null,
  heartbeat_interval_ms integer not null,
  due_ms integer,
  check_due_ms integer,
  last_heartbeat_at_ms integer not null,
  offline_at_ms integer,
  registered_at_ms integer not null,
  key_id text not null,
  primary key (account_id, id)
) strict;
create index machine_by_check on machine (check_due_ms, account_id, id) where check_due_ms is not null;
create index machine_by_silence on machine (offline_at_ms, account_id, id) where offline_at_ms is not null;

create table slot (
  account_id text not null,
  machine_id text not null,
  number integer not null,
  label text,
  container_id text,
  cpu_millis integer,
  memory_mb integer,
  is_disabled integer not null,
  is_retired integer not null,
  session_id text,
  since_at_ms integer not null,
  primary key (account_id, machine_id, number)
) strict;
