-- A machine's beats move due_ms and last_heartbeat_at_ms and nothing that is indexed.
create table machine (
  account_id text collate "C" not null,
  id text collate "C" not null,
  hostname text collate "C",
  boot_id text collate "C",
  capacity_json text collate "C",
  status text collate "C" not null,
  status_at_ms bigint not null,
  lease_ms bigint not null,
  heartbeat_interval_ms bigint not null,
  due_ms bigint,
  check_due_ms bigint,
  last_heartbeat_at_ms bigint not null,
  offline_at_ms bigint,
  registered_at_ms bigint not null,
  key_id text collate "C" not null,
  primary key (account_id, id)
);
create index machine_by_check on machine (check_due_ms, account_id, id) where check_due_ms is not null;
create index machine_by_silence on machine (offline_at_ms, account_id, id) where offline_at_ms is not null;

create table slot (
  account_id text collate "C" not null,
  machine_id text collate "C" not null,
  number bigint not null,
  label text collate "C",
  container_id text collate "C",
  cpu_millis bigint,
  memory_mb bigint,
  is_disabled boolean not null,
  is_retired boolean not null,
  session_id text collate "C",
  since_at_ms bigint not null,
  primary key (account_id, machine_id, number)
);
