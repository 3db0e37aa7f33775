alter table account add column name text collate "C";
alter table account add column status text collate "C" not null default 'active';
alter table account add column status_at_ms bigint;
alter table account add column live_sessions_max bigint;
create index account_by_status on account (status, id);

alter table api_key add column project_id text collate "C";
alter table api_key add column expires_at_ms bigint;
alter table api_key add column rotated_at_ms bigint;
alter table api_key add column previous_secret_sha256 text collate "C";
alter table api_key add column previous_expires_at_ms bigint;
alter table api_key add column last_used_at_ms bigint;
create unique index api_key_by_previous_secret on api_key (previous_secret_sha256)
  where previous_secret_sha256 is not null;

create table key_usage (
  id text collate "C" not null primary key,
  account_id text collate "C" not null,
  window_at_ms bigint not null,
  requests bigint not null,
  heartbeats bigint not null
);

-- Records that were there before the chain are numbered, so that none can be added or taken away unnoticed.
alter table audit add column number bigint not null default 0;
alter table audit add column previous_sha256 text collate "C" not null default '';
alter table audit add column sha256 text collate "C" not null default '';
update audit set number = counted.number
from (select id, row_number() over (partition by account_id order by id) as number from audit) as counted
where counted.id = audit.id;
create unique index audit_by_number on audit (account_id, number);

create table audit_head (
  account_id text collate "C" not null primary key,
  last_number bigint not null,
  last_sha256 text collate "C" not null,
  cut_number bigint not null,
  cut_sha256 text collate "C" not null,
  unchained_number bigint not null
);
insert into audit_head (account_id, last_number, last_sha256, cut_number, cut_sha256, unchained_number)
select account_id, max(number), '', 0, '', max(number) from audit group by account_id;

-- An account's checkpoints in the order of their key: for its export and its erasure.
create index checkpoint_by_account on checkpoint (account_id, session_id, number);
