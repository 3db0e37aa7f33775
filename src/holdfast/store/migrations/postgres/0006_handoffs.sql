-- What a session left last, and when: by it the core knows whether to draft one where a session breaks off.
alter table session_profile add column handoff_at_ms bigint;

create table handoff_schema (
  account_id text collate "C" not null,
  id text collate "C" not null,
  schema_json text collate "C" not null,
  sha256 text collate "C" not null,
  created_at_ms bigint not null,
  key_id text collate "C" not null,
  primary key (account_id, id)
);

create table handoff (
  id text collate "C" not null primary key,
  account_id text collate "C" not null,
  session_id text collate "C" not null,
  project_id text collate "C",
  scope text collate "C" not null,
  venture text collate "C",
  repo text collate "C",
  track text collate "C",
  issue_number bigint,
  from_agent text collate "C" not null,
  to_agent text collate "C",
  status text collate "C" not null,
  status_label text collate "C",
  auto boolean not null,
  orphan_reason text collate "C",
  summary text collate "C" not null,
  branch text collate "C",
  commit_sha text collate "C",
  payload_sha256 text collate "C" not null,
  payload_size_bytes bigint not null,
  payload_schema text collate "C",
  schema_version text collate "C" not null,
  digest text collate "C" not null,
  redactions bigint not null,
  open_topic text collate "C",
  open_at_ms bigint,
  closed_at_ms bigint,
  created_at_ms bigint not null,
  key_id text collate "C" not null,
  correlation_id text collate "C" not null,
  acknowledged_at_ms bigint,
  acknowledged_by text collate "C",
  status_at_ms bigint not null,
  status_by text collate "C",
  status_note text collate "C",
  superseded_by text collate "C"
);
-- Every list is newest first: behind the columns that narrow it stands the id.
create index handoff_by_account on handoff (account_id, id);
create index handoff_by_session on handoff (session_id, id);
create index handoff_by_digest on handoff (session_id, digest, id);
create index handoff_by_scope on handoff (account_id, scope, id);
create index handoff_by_venture on handoff (account_id, venture, id) where venture is not null;
create index handoff_by_repo on handoff (account_id, venture, repo, id) where repo is not null;
create index handoff_by_repo_name on handoff (account_id, repo, id) where repo is not null;
create index handoff_by_track on handoff (account_id, venture, repo, track, id) where track is not null;
create index handoff_by_issue on handoff (account_id, issue_number, repo, id) where issue_number is not null;
create index handoff_by_status on handoff (account_id, status, id);
create index handoff_by_label on handoff (account_id, status_label, id) where status_label is not null;
create index handoff_by_sender on handoff (account_id, from_agent, id);
create index handoff_open_on_topic on handoff (account_id, open_topic, id) where open_topic is not null;
create index handoff_open_by_time on handoff (open_at_ms, id) where open_at_ms is not null;
create index handoff_closed_by_time on handoff (closed_at_ms, id) where closed_at_ms is not null;

-- What may be long lies apart, in the order in which it came.
create table handoff_body (
  id text collate "C" not null primary key,
  account_id text collate "C" not null,
  session_id text collate "C" not null,
  work_completed_json text collate "C" not null,
  blockers_json text collate "C" not null,
  next_actions_json text collate "C" not null,
  payload_json text collate "C" not null
);
create index handoff_body_by_account on handoff_body (account_id, id);
create index handoff_body_by_session on handoff_body (session_id);
