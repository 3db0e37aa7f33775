alter table event add column project_id text;
update event set project_id = (select project_id from session_profile where session_profile.id = event.session_id);
create index event_by_project on event (account_id, project_id, number) where project_id is not null;

create table event_reader (
  account_id text not null,
  name text not null,
  last_number integer not null,
  moved_at_ms integer not null,
  primary key (account_id, name)
) strict;
