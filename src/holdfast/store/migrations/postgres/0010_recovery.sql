alter table session add column recoveries_left bigint;

alter table session_profile add column recovered_from text collate "C";
alter table session_profile add column recovery_attempts bigint not null default 0;
alter table session_profile add column checkpoint_source_id text collate "C";

-- What somebody may recover, oldest first. Beats move none of these columns.
create index session_by_break_off on session (account_id, id)
where status in ('stalled', 'failed', 'abandoned') and taken_over_by is null and archived_at_ms is null;
