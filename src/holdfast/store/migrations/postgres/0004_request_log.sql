create table request_log (
  account_id text collate "C" not null,
  id text collate "C" not null,
  at_ms bigint not null,
  request_id text collate "C" not null,
  correlation_id text collate "C" not null,
  method text collate "C" not null,
  route text collate "C",
  key_id text collate "C",
  status bigint not null,
  duration_us bigint not null,
  request_bytes bigint not null,
  response_bytes bigint not null,
  error_code text collate "C",
  detail text collate "C",
  is_replay boolean not null,
  primary key (account_id, id)
);
-- Retention deletes by time, whatever the account.
create index request_log_by_time on request_log (at_ms, account_id, id);
create index request_log_by_error on request_log (account_id, id) where error_code is not null;
create index request_log_by_request on request_log (request_id);
create index request_log_by_correlation on request_log (correlation_id);

create table request_count (
  account_id text collate "C" not null,
  minute_at_ms bigint not null,
  key_id text collate "C" not null,
  route text collate "C" not null,
  node text collate "C" not null,
  requests bigint not null,
  items bigint not null,
  primary key (account_id, minute_at_ms, key_id, route, node)
);
create index request_count_by_time on request_count (minute_at_ms, account_id, key_id, route, node);
