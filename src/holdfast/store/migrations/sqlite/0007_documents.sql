alter table session_profile add column client text;
alter table session_profile add column client_version text;
alter table session_profile add column host text;

create table document (
  account_id text not null,
  project_id text not null,
  venture text not null,
  name text not null,
  version integer not null,
  media_type text not null,
  sha256 text not null,
  size_bytes integer not null,
  created_at_ms integer not null,
  updated_at_ms integer not null,
  key_id text not null,
  correlation_id text not null,
  primary key (account_id, project_id, venture, name)
) strict;

-- Apart from the rest, so that listing documents reads none of them.
create table document_content (
  account_id text not null,
  project_id text not null,
  venture text not null,
  name text not null,
  content text not null,
  primary key (account_id, project_id, venture, name)
) strict;
