create table request_log (
  account_id text not null,
  id text not null,
  at_ms integer not null,
  request_id text not null,
  correlation_id text not null,
  method text not null,
  route text,
  key_id text,
  status integer not null,
  duration_us integer not null,
  request_bytes integer not null,
  response_bytes integer not null,
  error_code text,
  detail text,
  is_replay integer not null,
  primary key (account_id, id)
) strict;
-- Retention deletes by time, whatever the account.
create index request_log_by_time on request_log (at_ms, account_id, id);
create index request_log_by_error on request_log (account_id, id) where error_code is not null;
create index request_log_by_request on request_log (request_id);
create index request_log_by_correlation on request_log (correlation_id);

create table request_count (
  account_id text not null,
  minute_at_ms integer not null,
  key_id text not null,
  route text not null,
  node text not null,
  requests integer not null,
  items integer not null,
  primary key (account_id, minute_at_ms, key_id, route, node)
) strict;
create index request_count_by_time on request_count (minute_at_ms, account_id, key_id, route, node);
