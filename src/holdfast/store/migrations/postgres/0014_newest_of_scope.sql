-- Who worked on a scope last, also where the session holds it no longer. Beats move none of these columns.
create index session_by_scope on session (account_id, scope, id);
