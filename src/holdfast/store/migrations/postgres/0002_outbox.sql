alter table event add column project_id text collate "C";
update event set project_id = (select project_id from session_profile where session_profile.id = event.session_id);
create index event_by_project on event (account_id, project_id, number) where project_id is not null;

create table event_reader (
  account_id text collate "C" not null,
  name text collate "C" not null,
  last_number bigint not null,
  moved_at_ms bigint not null,
  primary key (account_id, name)
);
