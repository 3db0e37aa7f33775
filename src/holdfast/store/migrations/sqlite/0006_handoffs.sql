-- What a session left last, and when: by it the core knows whether to draft one where a session breaks off.
alter table session_profile add column handoff_at_ms integer;

create table handoff_schema (
  account_id text not null,
  id text not null,
  schema_json text not null,
  sha256 text not null,
  created_at_ms integer not null,
  key_id text not null,
  primary key (account_id, id)
) strict;

create table handoff (
  id text not null primary key,
  account_id text not null,
  session_id text not null,
  project_id text,
  scope text not null,
  venture text,
  repo text,
  track text,
  issue_number integer,
  from_agent text not null,
  to_agent text,
  status text not null,
  status_label text,
  auto integer not null,
  orphan_reason text,
  summary text not null,
  branch text,
  commit_sha text,
  payload_sha256 text not null,
  payload_size_bytes integer not null,
  payload_schema text,
  schema_version text not null,
  digest text not null,
  redactions integer not null,
  open_topic text,
  open_at_ms integer,
  closed_at_ms integer,
  created_at_ms integer not null,
  key_id text not null,
  correlation_id text not null,
  acknowledged_at_ms integer,
  acknowledged_by text,
  status_at_ms integer not null,
  status_by text,
  status_note text,
  superseded_by text
) strict;
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
  id text not null primary key,
  account_id text not null,
  session_id text not null,
  work_completed_json text not null,
  blockers_json text not null,
  next_actions_json text not null,
  payload_json text not null
) strict;
create index handoff_body_by_account on handoff_body (account_id, id);
create index handoff_body_by_session on handoff_body (session_id);
