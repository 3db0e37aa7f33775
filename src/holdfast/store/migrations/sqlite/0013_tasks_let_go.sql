alter table session_profile add column let_go_json text;
