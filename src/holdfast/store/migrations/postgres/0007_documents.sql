alter table session_profile add column client text collate "C";
alter table session_profile add column client_version text collate "C";
alter table session_profile add column host text collate "C";

create table document (
  account_id text collate "C" not null,
  project_id text collate "C" not null,
  venture text collate "C" not null,
  name text collate "C" not null,
  version bigint not null,
  media_type text collate "C" not null,
  sha256 text collate "C" not null,
  size_bytes bigint not null,
  created_at_ms bigint not null,
  updated_at_ms bigint not null,
  key_id text collate "C" not null,
  correlation_id text collate "C" not null,
  primary key (account_id, project_id, venture, name)
);

-- Apart from the rest, so that listing documents reads none of them.
create table document_content (
  account_id text collate "C" not null,
  project_id text collate "C" not null,
  venture text collate "C" not null,
  name text collate "C" not null,
  content text collate "C" not null,
  primary key (account_id, project_id, venture, name)
);
