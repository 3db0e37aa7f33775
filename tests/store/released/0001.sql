-- Rows as the release with schema 1 left them: a session in every state, and what hangs on them.
-- Times of a fake clock; the text is the same for both dialects.

insert into account (id, created_at_ms) values
  ('default', 1768644000000);
insert into api_key (id, account_id, name, scope, secret_sha256, created_at_ms, created_by) values
  ('key_01KFDFG56GX97H1V3TG68CMX71', 'default', 'a key', 'agent', '3e6a6a4b15ec69c466d217dc6e82d8dec6a74a4def87a626f964cf8c8bb28831', 1768905250000, 'key_admin');
insert into audit (id, account_id, at_ms, key_id, action, target, correlation_id, data_json) values
  ('aud_01KF5PBE804AGE9DSS9WEJDWA6', 'default', 1768644000000, 'key_admin', 'account.created', 'default', 'correlation-1', '{}');
insert into audit (id, account_id, at_ms, key_id, action, target, reason, correlation_id, data_json) values
  ('aud_01KFAWGTG0BD5PNYRZ067QFYVC', 'default', 1768818240000, 'key_test', 'session.taken_over', 'sess_01KFAWEV0RDD8ESRC7Z9KZ54A7', 'it is silent', 'correlation-1', '{}');
insert into audit (id, account_id, at_ms, key_id, action, target, reason, correlation_id, data_json) values
  ('aud_01KFAWT4B8M2JK59Y0NC2KXAZF', 'default', 1768818545000, 'key_test', 'session.taken_over', 'sess_01KFAWGTG0HVTZNCN7GSD1QY11', 'it is silent', 'correlation-1', '{}');
insert into audit (id, account_id, at_ms, key_id, action, target, reason, correlation_id, data_json) values
  ('aud_01KFDFG56G8TJP79T3XHBVGBZS', 'default', 1768905250000, 'key_test', 'session.taken_over', 'sess_01KFAWT4B8XR0NJ1NHNSFWHHYK', 'it is silent', 'correlation-1', '{}');
insert into audit (id, account_id, at_ms, key_id, action, target, correlation_id, data_json) values
  ('aud_01KFDFG56GX97H1V3TG68CMX72', 'default', 1768905250000, 'key_admin', 'key.created', 'key_01KFDFG56GX97H1V3TG68CMX71', 'correlation-1', '{}');
insert into checkpoint (session_id, number, id, account_id, scope, summary, work_completed_json, blockers_json, next_actions_json, created_at_ms, key_id, correlation_id) values
  ('sess_01KF5PBE80M0SZ80X15YVVWXP0', 1, 'cp_01KF5PBK481E937G4CR7APJHBF', 'default', 'repo=active', 'half of it is done', '[]', '[]', '[]', 1768644005000, 'key_test', 'correlation-1');
insert into client_session (account_id, client_session_id, session_id) values
  ('default', 'client-1', 'sess_01KFDFG56GX97H1V3TG68CMX73');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 1, 'evt_01KF5PBE80M0SZ80X15YVVWXP1', 'session.started', 'requested', 'sess_01KF5PBE80M0SZ80X15YVVWXP0', 1768644000000, 1768644000000, 'key_test', 'correlation-1', '{"scope":"repo=active","agent":"claude","exclusive":true,"took_over_from":null}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 2, 'evt_01KF5PBK48Q68JZZE8TBBAT62Q', 'session.started', 'requested', 'sess_01KF5PBK48Q68JZZE8TBBAT62P', 1768644005000, 1768644005000, 'key_test', 'correlation-1', '{"scope":"repo=paused","agent":"claude","exclusive":false,"took_over_from":null}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 3, 'evt_01KF5PBR0GBX1MZCPPCMFMGSBE', 'session.paused', 'requested', 'sess_01KF5PBK48Q68JZZE8TBBAT62P', 1768644010000, 1768644010000, 'key_test', 'correlation-1', '{"was":"active"}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 4, 'evt_01KF5PBR0GBX1MZCPPCMFMGSBG', 'session.started', 'requested', 'sess_01KF5PBR0GBX1MZCPPCMFMGSBF', 1768644010000, 1768644010000, 'key_test', 'correlation-1', '{"scope":"repo=parked","agent":"claude","exclusive":true,"took_over_from":null}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 5, 'evt_01KF5PBWWR8B7FKPE0BX24EWZH', 'session.parked', 'requested', 'sess_01KF5PBR0GBX1MZCPPCMFMGSBF', 1768644015000, 1768644015000, 'key_test', 'correlation-1', '{"was":"active","wake_at_ms":null,"reason":"until tomorrow"}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 6, 'evt_01KF5PBWWRFYA8RN8KA4FTX0F4', 'session.started', 'requested', 'sess_01KF5PBWWRFYA8RN8KA4FTX0F3', 1768644015000, 1768644015000, 'key_test', 'correlation-1', '{"scope":"repo=stalled","agent":"claude","exclusive":false,"took_over_from":null}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 7, 'evt_01KF5PDWC04JAQ6NJJ4MFQ8BVS', 'session.started', 'requested', 'sess_01KF5PDWC04JAQ6NJJ4MFQ8BVR', 1768644080000, 1768644080000, 'key_test', 'correlation-1', '{"scope":"repo=stalled, strict","agent":"claude","exclusive":true,"took_over_from":null}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 8, 'evt_01KF5PFVV823RX4EYQ098G00VC', 'session.started', 'requested', 'sess_01KF5PFVV823RX4EYQ098G00VB', 1768644145000, 1768644145000, 'key_test', 'correlation-1', '{"scope":"repo=failed by silence","agent":"claude","exclusive":false,"took_over_from":null}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 9, 'evt_01KF5PS5PGFBGGAJP7RG7RA32Z', 'session.started', 'requested', 'sess_01KF5PS5PGFBGGAJP7RG7RA32Y', 1768644450000, 1768644450000, 'key_test', 'correlation-1', '{"scope":"repo=failed by silence, strict","agent":"claude","exclusive":true,"took_over_from":null}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 10, 'evt_01KF5Q2FHREQRM0Z3MC64NGQAS', 'session.started', 'requested', 'sess_01KF5Q2FHREQRM0Z3MC64NGQAR', 1768644755000, 1768644755000, 'key_test', 'correlation-1', '{"scope":"repo=failed by report","agent":"claude","exclusive":false,"took_over_from":null}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 11, 'evt_01KF5Q2ME09190VG2B7YKRQMM7', 'session.failed', 'requested', 'sess_01KF5Q2FHREQRM0Z3MC64NGQAR', 1768644760000, 1768644760000, 'key_test', 'correlation-1', '{"was":"active","reason":"the build broke"}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 12, 'evt_01KF5Q2ME09190VG2B7YKRQMM9', 'session.started', 'requested', 'sess_01KF5Q2ME09190VG2B7YKRQMM8', 1768644760000, 1768644760000, 'key_test', 'correlation-1', '{"scope":"repo=abandoned","agent":"claude","exclusive":true,"took_over_from":null}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 13, 'evt_01KF89RN98TCYT3PWQ5G3Q7P10', 'session.started', 'requested', 'sess_01KF89RN98TCYT3PWQ5G3Q7P0Z', 1768731465000, 1768731465000, 'key_test', 'correlation-1', '{"scope":"repo=abandoned, replaced","agent":"claude","exclusive":false,"took_over_from":null}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 14, 'evt_01KFAWEP4GJX8QYSHN9624NZFQ', 'session.started', 'requested', 'sess_01KFAWEP4GJX8QYSHN9624NZFP', 1768818170000, 1768818170000, 'key_test', 'correlation-1', '{"scope":"repo=abandoned, replaced","agent":"claude","exclusive":false,"took_over_from":null}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 15, 'evt_01KFAWEP4GS0CA52NZGD6YARMK', 'session.started', 'requested', 'sess_01KFAWEP4GS0CA52NZGD6YARMJ', 1768818170000, 1768818170000, 'key_test', 'correlation-1', '{"scope":"repo=ended","agent":"claude","exclusive":true,"took_over_from":null}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 16, 'evt_01KFAWEV0R16S3AKESX2JV0058', 'session.ended', 'requested', 'sess_01KFAWEP4GS0CA52NZGD6YARMJ', 1768818175000, 1768818175000, 'key_test', 'correlation-1', '{"was":"active","end_reason":"completed"}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 17, 'evt_01KFAWEV0RDD8ESRC7Z9KZ54A8', 'session.started', 'requested', 'sess_01KFAWEV0RDD8ESRC7Z9KZ54A7', 1768818175000, 1768818175000, 'key_test', 'correlation-1', '{"scope":"repo=ended, taken over","agent":"claude","exclusive":false,"took_over_from":null}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 18, 'evt_01KFAWGTG0BD5PNYRZ067QFYVA', 'session.stalled', 'lease_lapsed', 'sess_01KFAWEV0RDD8ESRC7Z9KZ54A7', 1768818240000, 1768818240000, 'key_test', 'correlation-1', '{"lease_ms":60000,"last_heartbeat_at_ms":1768818180000}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 19, 'evt_01KFAWGTG0BD5PNYRZ067QFYVB', 'session.taken_over', 'taken_over', 'sess_01KFAWEV0RDD8ESRC7Z9KZ54A7', 1768818240000, 1768818240000, 'key_test', 'correlation-1', '{"taken_over_by":"sess_01KFAWGTG0BD5PNYRZ067QFYV9","was":"stalled","is_forced":false}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 20, 'evt_01KFAWGTG0BD5PNYRZ067QFYVD', 'session.started', 'requested', 'sess_01KFAWGTG0BD5PNYRZ067QFYV9', 1768818240000, 1768818240000, 'key_test', 'correlation-1', '{"scope":"repo=ended, taken over","agent":"codex","exclusive":false,"took_over_from":"sess_01KFAWEV0RDD8ESRC7Z9KZ54A7"}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 21, 'evt_01KFAWGTG0HVTZNCN7GSD1QY12', 'session.started', 'requested', 'sess_01KFAWGTG0HVTZNCN7GSD1QY11', 1768818240000, 1768818240000, 'key_test', 'correlation-1', '{"scope":"repo=failed, taken over","agent":"claude","exclusive":true,"took_over_from":null}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 22, 'evt_01KFAWT4B8M2JK59Y0NC2KXAZC', 'session.stalled', 'lease_lapsed', 'sess_01KFAWGTG0HVTZNCN7GSD1QY11', 1768818305000, 1768818545000, 'key_test', 'correlation-1', '{"lease_ms":60000,"last_heartbeat_at_ms":1768818245000}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 23, 'evt_01KFAWT4B8M2JK59Y0NC2KXAZD', 'session.failed', 'fail_after_passed', 'sess_01KFAWGTG0HVTZNCN7GSD1QY11', 1768818545000, 1768818545000, 'key_test', 'correlation-1', '{"fail_after_ms":300000,"last_heartbeat_at_ms":1768818245000}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 24, 'evt_01KFAWT4B8M2JK59Y0NC2KXAZE', 'session.taken_over', 'taken_over', 'sess_01KFAWGTG0HVTZNCN7GSD1QY11', 1768818545000, 1768818545000, 'key_test', 'correlation-1', '{"taken_over_by":"sess_01KFAWT4B8M2JK59Y0NC2KXAZB","was":"failed by silence","is_forced":false}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 25, 'evt_01KFAWT4B8M2JK59Y0NC2KXAZG', 'session.started', 'requested', 'sess_01KFAWT4B8M2JK59Y0NC2KXAZB', 1768818545000, 1768818545000, 'key_test', 'correlation-1', '{"scope":"repo=failed, taken over","agent":"codex","exclusive":true,"took_over_from":"sess_01KFAWGTG0HVTZNCN7GSD1QY11"}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 26, 'evt_01KFAWT4B8XR0NJ1NHNSFWHHYM', 'session.started', 'requested', 'sess_01KFAWT4B8XR0NJ1NHNSFWHHYK', 1768818545000, 1768818545000, 'key_test', 'correlation-1', '{"scope":"repo=abandoned, taken over","agent":"claude","exclusive":false,"took_over_from":null}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 27, 'evt_01KFDFG56G8TJP79T3XHBVGBZN', 'session.stalled', 'lease_lapsed', 'sess_01KFAWT4B8XR0NJ1NHNSFWHHYK', 1768818610000, 1768905250000, 'key_test', 'correlation-1', '{"lease_ms":60000,"last_heartbeat_at_ms":1768818550000}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 28, 'evt_01KFDFG56G8TJP79T3XHBVGBZP', 'session.failed', 'fail_after_passed', 'sess_01KFAWT4B8XR0NJ1NHNSFWHHYK', 1768818850000, 1768905250000, 'key_test', 'correlation-1', '{"fail_after_ms":300000,"last_heartbeat_at_ms":1768818550000}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 29, 'evt_01KFDFG56G8TJP79T3XHBVGBZQ', 'session.abandoned', 'given_up', 'sess_01KFAWT4B8XR0NJ1NHNSFWHHYK', 1768905250000, 1768905250000, 'key_test', 'correlation-1', '{"abandon_after_ms":86400000,"was":"failed by silence"}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 30, 'evt_01KFDFG56G8TJP79T3XHBVGBZR', 'session.taken_over', 'taken_over', 'sess_01KFAWT4B8XR0NJ1NHNSFWHHYK', 1768905250000, 1768905250000, 'key_test', 'correlation-1', '{"taken_over_by":"sess_01KFDFG56G8TJP79T3XHBVGBZM","was":"abandoned","is_forced":false}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 31, 'evt_01KFDFG56G8TJP79T3XHBVGBZT', 'session.started', 'requested', 'sess_01KFDFG56G8TJP79T3XHBVGBZM', 1768905250000, 1768905250000, 'key_test', 'correlation-1', '{"scope":"repo=abandoned, taken over","agent":"codex","exclusive":false,"took_over_from":"sess_01KFAWT4B8XR0NJ1NHNSFWHHYK"}');
insert into event (account_id, number, id, type, rule, session_id, at_ms, recorded_at_ms, actor, correlation_id, data_json) values
  ('default', 32, 'evt_01KFDFG56GX97H1V3TG68CMX74', 'session.started', 'requested', 'sess_01KFDFG56GX97H1V3TG68CMX73', 1768905250000, 1768905250000, 'key_test', 'correlation-1', '{"scope":"repo=text","agent":"claude","exclusive":false,"took_over_from":null}');
insert into event_counter (account_id, last_number) values
  ('default', 32);
insert into idempotency (id, account_id, request_sha256, created, is_secret, reply_json, created_at_ms) values
  ('14750ef02564617f5a18015251a92f0a18f342b9e720d0383e5f83263d8455c9', 'default', '13542fe97faad936d4b1f5a151594522ea8e11907434d6c418eca4a9b37ceac0', true, false, '{"id":"sess_01KFDFG56GX97H1V3TG68CMX73","scope":"repo=text","status":"active","liveness":"live","agent":"claude","holder_id":"holder-1","exclusive":false,"revision":1,"started_at_ms":1768905250000,"last_heartbeat_at_ms":1768905250000,"lease_expires_at_ms":1768905310000,"status_changed_at_ms":1768905250000,"status_reason":null,"ended_at_ms":null,"end_reason":null,"failed_by":null,"error_details_json":null,"exit_code":null,"late":false,"reported_late":false,"activity":null,"status_note":null,"progress":null,"stop_requested":false,"stop_reason":null,"wake_at_ms":null,"took_over_from":null,"taken_over_by":null,"archived_at_ms":null,"checkpoint_count":0,"policy":{"preset":"custom","lease_ms":60000,"heartbeat_interval_ms":20000,"heartbeat_jitter_ms":1666,"grace_ms":20000,"fail_after_ms":300000,"on_lapse":"revivable"},"mode":null,"project_id":null,"venture":null,"repo":null,"track":null,"workspace":null,"machine_id":"ünïcödé 🚀 \\","slot":null,"parent_id":null,"group_id":null,"client_session_id":"client-1","branch":null,"commit_sha":null,"issue_number":null,"current_task_id":null,"meta_json":"{\"quoted\": \"\\n\", \"null\": null}","correlation_id":"correlation-1","outcome":"created","fencing_token":1,"next_heartbeat_at_ms":1768905271470,"heartbeat_interval_ms":20000,"last_checkpoint":null,"recoverable":[]}', 1768905250000);
insert into idempotency (id, account_id, request_sha256, created, is_secret, reply_json, created_at_ms) values
  ('16378c8990c0682376cdf61d41a0edfbcf8bc102369cc5cac224d93b95de6959', 'default', '691c620778f8487ad8e5c3bfcce3f1d4348ed66019e41fc6177452ea12a59667', true, true, '{}', 1768905250000);
insert into scope (account_id, scope, last_token, last_exclusive_token) values
  ('default', 'repo=abandoned', 1, 1);
insert into scope (account_id, scope, last_token, last_exclusive_token) values
  ('default', 'repo=abandoned, replaced', 2, 0);
insert into scope (account_id, scope, last_token, last_exclusive_token) values
  ('default', 'repo=abandoned, taken over', 2, 0);
insert into scope (account_id, scope, last_token, last_exclusive_token) values
  ('default', 'repo=active', 1, 1);
insert into scope (account_id, scope, last_token, last_exclusive_token) values
  ('default', 'repo=ended', 1, 1);
insert into scope (account_id, scope, last_token, last_exclusive_token) values
  ('default', 'repo=ended, taken over', 2, 0);
insert into scope (account_id, scope, last_token, last_exclusive_token) values
  ('default', 'repo=failed by report', 1, 0);
insert into scope (account_id, scope, last_token, last_exclusive_token) values
  ('default', 'repo=failed by silence', 1, 0);
insert into scope (account_id, scope, last_token, last_exclusive_token) values
  ('default', 'repo=failed by silence, strict', 1, 1);
insert into scope (account_id, scope, last_token, last_exclusive_token) values
  ('default', 'repo=failed, taken over', 2, 2);
insert into scope (account_id, scope, last_token, last_exclusive_token) values
  ('default', 'repo=parked', 1, 1);
insert into scope (account_id, scope, last_token, last_exclusive_token) values
  ('default', 'repo=paused', 1, 0);
insert into scope (account_id, scope, last_token, last_exclusive_token) values
  ('default', 'repo=stalled', 1, 0);
insert into scope (account_id, scope, last_token, last_exclusive_token) values
  ('default', 'repo=stalled, strict', 1, 1);
insert into scope (account_id, scope, last_token, last_exclusive_token) values
  ('default', 'repo=text', 1, 0);
insert into service_state (id, last_tick_at_ms, paused_ms, timeline, token_floor) values
  (1, 1768905250000, 0, '5f88cfd6d5e5d890', 0);
insert into session (id, account_id, scope, held_scope, exclusive, fencing_token, revision, status, agent, holder_id, on_lapse, lease_ms, heartbeat_interval_ms, heartbeat_jitter_ms, grace_ms, fail_after_ms, due_ms, check_due_ms, status_at_ms, last_heartbeat_at_ms, checkpoint_count) values
  ('sess_01KF5PBE80M0SZ80X15YVVWXP0', 'default', 'repo=active', 'repo=active', true, 1, 1, 'active', 'claude', 'holder-1', 'revivable', 60000, 20000, 1666, 20000, 300000, 1768644065000, 1768644060000, 1768644000000, 1768644005000, 1);
insert into session (id, account_id, scope, held_scope, exclusive, fencing_token, revision, status, agent, holder_id, on_lapse, lease_ms, heartbeat_interval_ms, heartbeat_jitter_ms, grace_ms, fail_after_ms, due_ms, check_due_ms, status_at_ms, last_heartbeat_at_ms, checkpoint_count) values
  ('sess_01KF5PBK48Q68JZZE8TBBAT62P', 'default', 'repo=paused', 'repo=paused', false, 1, 2, 'paused', 'claude', 'holder-1', 'revivable', 60000, 20000, 1666, 20000, 300000, 1768644070000, 1768644070000, 1768644010000, 1768644010000, 0);
insert into session (id, account_id, scope, held_scope, exclusive, fencing_token, revision, status, status_reason, agent, holder_id, on_lapse, lease_ms, heartbeat_interval_ms, heartbeat_jitter_ms, grace_ms, fail_after_ms, status_at_ms, last_heartbeat_at_ms, checkpoint_count) values
  ('sess_01KF5PBR0GBX1MZCPPCMFMGSBF', 'default', 'repo=parked', 'repo=parked', true, 1, 2, 'parked', 'until tomorrow', 'claude', 'holder-1', 'revivable', 60000, 20000, 1666, 20000, 300000, 1768644015000, 1768644015000, 0);
insert into session (id, account_id, scope, held_scope, exclusive, fencing_token, revision, status, agent, holder_id, on_lapse, lease_ms, heartbeat_interval_ms, heartbeat_jitter_ms, grace_ms, fail_after_ms, due_ms, check_due_ms, status_at_ms, last_heartbeat_at_ms, checkpoint_count) values
  ('sess_01KF5PBWWRFYA8RN8KA4FTX0F3', 'default', 'repo=stalled', 'repo=stalled', false, 1, 1, 'active', 'claude', 'holder-1', 'revivable', 60000, 20000, 1666, 20000, 300000, 1768644080000, 1768644075000, 1768644015000, 1768644020000, 0);
insert into session (id, account_id, scope, held_scope, exclusive, fencing_token, revision, status, agent, holder_id, on_lapse, lease_ms, heartbeat_interval_ms, heartbeat_jitter_ms, grace_ms, fail_after_ms, due_ms, check_due_ms, status_at_ms, last_heartbeat_at_ms, checkpoint_count) values
  ('sess_01KF5PDWC04JAQ6NJJ4MFQ8BVR', 'default', 'repo=stalled, strict', 'repo=stalled, strict', true, 1, 1, 'active', 'claude', 'holder-1', 'strict', 60000, 20000, 1666, 20000, 300000, 1768644145000, 1768644140000, 1768644080000, 1768644085000, 0);
insert into session (id, account_id, scope, held_scope, exclusive, fencing_token, revision, status, agent, holder_id, on_lapse, lease_ms, heartbeat_interval_ms, heartbeat_jitter_ms, grace_ms, fail_after_ms, due_ms, check_due_ms, status_at_ms, last_heartbeat_at_ms, checkpoint_count) values
  ('sess_01KF5PFVV823RX4EYQ098G00VB', 'default', 'repo=failed by silence', 'repo=failed by silence', false, 1, 1, 'active', 'claude', 'holder-1', 'revivable', 60000, 20000, 1666, 20000, 300000, 1768644210000, 1768644205000, 1768644145000, 1768644150000, 0);
insert into session (id, account_id, scope, held_scope, exclusive, fencing_token, revision, status, agent, holder_id, on_lapse, lease_ms, heartbeat_interval_ms, heartbeat_jitter_ms, grace_ms, fail_after_ms, due_ms, check_due_ms, status_at_ms, last_heartbeat_at_ms, checkpoint_count) values
  ('sess_01KF5PS5PGFBGGAJP7RG7RA32Y', 'default', 'repo=failed by silence, strict', 'repo=failed by silence, strict', true, 1, 1, 'active', 'claude', 'holder-1', 'strict', 60000, 20000, 1666, 20000, 300000, 1768644515000, 1768644510000, 1768644450000, 1768644455000, 0);
insert into session (id, account_id, scope, exclusive, fencing_token, revision, status, failed_by, status_reason, agent, holder_id, on_lapse, lease_ms, heartbeat_interval_ms, heartbeat_jitter_ms, grace_ms, fail_after_ms, due_ms, check_due_ms, status_at_ms, last_heartbeat_at_ms, checkpoint_count) values
  ('sess_01KF5Q2FHREQRM0Z3MC64NGQAR', 'default', 'repo=failed by report', false, 1, 2, 'failed', 'report', 'the build broke', 'claude', 'holder-1', 'revivable', 60000, 20000, 1666, 20000, 300000, 1768731160000, 1768731160000, 1768644760000, 1768644760000, 0);
insert into session (id, account_id, scope, held_scope, exclusive, fencing_token, revision, status, agent, holder_id, on_lapse, lease_ms, heartbeat_interval_ms, heartbeat_jitter_ms, grace_ms, fail_after_ms, due_ms, check_due_ms, status_at_ms, last_heartbeat_at_ms, checkpoint_count) values
  ('sess_01KF5Q2ME09190VG2B7YKRQMM8', 'default', 'repo=abandoned', 'repo=abandoned', true, 1, 1, 'active', 'claude', 'holder-1', 'revivable', 60000, 20000, 1666, 20000, 300000, 1768644825000, 1768644820000, 1768644760000, 1768644765000, 0);
insert into session (id, account_id, scope, held_scope, exclusive, fencing_token, revision, status, agent, holder_id, on_lapse, lease_ms, heartbeat_interval_ms, heartbeat_jitter_ms, grace_ms, fail_after_ms, due_ms, check_due_ms, status_at_ms, last_heartbeat_at_ms, checkpoint_count) values
  ('sess_01KF89RN98TCYT3PWQ5G3Q7P0Z', 'default', 'repo=abandoned, replaced', 'repo=abandoned, replaced', false, 1, 1, 'active', 'claude', 'holder-1', 'revivable', 60000, 20000, 1666, 20000, 300000, 1768731530000, 1768731525000, 1768731465000, 1768731470000, 0);
insert into session (id, account_id, scope, held_scope, exclusive, fencing_token, revision, status, agent, holder_id, on_lapse, lease_ms, heartbeat_interval_ms, heartbeat_jitter_ms, grace_ms, fail_after_ms, due_ms, check_due_ms, status_at_ms, last_heartbeat_at_ms, checkpoint_count) values
  ('sess_01KFAWEP4GJX8QYSHN9624NZFP', 'default', 'repo=abandoned, replaced', 'repo=abandoned, replaced', false, 2, 1, 'active', 'claude', 'holder-2', 'revivable', 60000, 20000, 1666, 20000, 300000, 1768818230000, 1768818230000, 1768818170000, 1768818170000, 0);
insert into session (id, account_id, scope, exclusive, fencing_token, revision, status, end_reason, agent, holder_id, on_lapse, lease_ms, heartbeat_interval_ms, heartbeat_jitter_ms, grace_ms, fail_after_ms, status_at_ms, last_heartbeat_at_ms, checkpoint_count) values
  ('sess_01KFAWEP4GS0CA52NZGD6YARMJ', 'default', 'repo=ended', true, 1, 2, 'ended', 'completed', 'claude', 'holder-1', 'revivable', 60000, 20000, 1666, 20000, 300000, 1768818175000, 1768818175000, 0);
insert into session (id, account_id, scope, exclusive, fencing_token, revision, status, end_reason, status_reason, agent, holder_id, on_lapse, lease_ms, heartbeat_interval_ms, heartbeat_jitter_ms, grace_ms, fail_after_ms, status_at_ms, last_heartbeat_at_ms, checkpoint_count, taken_over_by) values
  ('sess_01KFAWEV0RDD8ESRC7Z9KZ54A7', 'default', 'repo=ended, taken over', false, 1, 3, 'ended', 'taken_over', 'it is silent', 'claude', 'holder-1', 'revivable', 60000, 20000, 1666, 20000, 300000, 1768818240000, 1768818180000, 0, 'sess_01KFAWGTG0BD5PNYRZ067QFYV9');
insert into session (id, account_id, scope, held_scope, exclusive, fencing_token, revision, status, agent, holder_id, on_lapse, lease_ms, heartbeat_interval_ms, heartbeat_jitter_ms, grace_ms, fail_after_ms, due_ms, check_due_ms, status_at_ms, last_heartbeat_at_ms, checkpoint_count) values
  ('sess_01KFAWGTG0BD5PNYRZ067QFYV9', 'default', 'repo=ended, taken over', 'repo=ended, taken over', false, 2, 1, 'active', 'codex', 'holder-2', 'revivable', 60000, 20000, 1666, 20000, 300000, 1768818300000, 1768818300000, 1768818240000, 1768818240000, 0);
insert into session (id, account_id, scope, exclusive, fencing_token, revision, status, failed_by, agent, holder_id, on_lapse, lease_ms, heartbeat_interval_ms, heartbeat_jitter_ms, grace_ms, fail_after_ms, status_at_ms, last_heartbeat_at_ms, checkpoint_count, taken_over_by) values
  ('sess_01KFAWGTG0HVTZNCN7GSD1QY11', 'default', 'repo=failed, taken over', true, 1, 4, 'failed', 'silence', 'claude', 'holder-1', 'revivable', 60000, 20000, 1666, 20000, 300000, 1768818545000, 1768818245000, 0, 'sess_01KFAWT4B8M2JK59Y0NC2KXAZB');
insert into session (id, account_id, scope, held_scope, exclusive, fencing_token, revision, status, agent, holder_id, on_lapse, lease_ms, heartbeat_interval_ms, heartbeat_jitter_ms, grace_ms, fail_after_ms, due_ms, check_due_ms, status_at_ms, last_heartbeat_at_ms, checkpoint_count) values
  ('sess_01KFAWT4B8M2JK59Y0NC2KXAZB', 'default', 'repo=failed, taken over', 'repo=failed, taken over', true, 2, 1, 'active', 'codex', 'holder-2', 'revivable', 60000, 20000, 1666, 20000, 300000, 1768818605000, 1768818605000, 1768818545000, 1768818545000, 0);
insert into session (id, account_id, scope, exclusive, fencing_token, revision, status, agent, holder_id, on_lapse, lease_ms, heartbeat_interval_ms, heartbeat_jitter_ms, grace_ms, fail_after_ms, status_at_ms, last_heartbeat_at_ms, checkpoint_count, taken_over_by) values
  ('sess_01KFAWT4B8XR0NJ1NHNSFWHHYK', 'default', 'repo=abandoned, taken over', false, 1, 5, 'abandoned', 'claude', 'holder-1', 'revivable', 60000, 20000, 1666, 20000, 300000, 1768905250000, 1768818550000, 0, 'sess_01KFDFG56G8TJP79T3XHBVGBZM');
insert into session (id, account_id, scope, held_scope, exclusive, fencing_token, revision, status, agent, holder_id, on_lapse, lease_ms, heartbeat_interval_ms, heartbeat_jitter_ms, grace_ms, fail_after_ms, due_ms, check_due_ms, status_at_ms, last_heartbeat_at_ms, checkpoint_count) values
  ('sess_01KFDFG56G8TJP79T3XHBVGBZM', 'default', 'repo=abandoned, taken over', 'repo=abandoned, taken over', false, 2, 1, 'active', 'codex', 'holder-2', 'revivable', 60000, 20000, 1666, 20000, 300000, 1768905310000, 1768905310000, 1768905250000, 1768905250000, 0);
insert into session (id, account_id, scope, held_scope, exclusive, fencing_token, revision, status, agent, holder_id, on_lapse, lease_ms, heartbeat_interval_ms, heartbeat_jitter_ms, grace_ms, fail_after_ms, due_ms, check_due_ms, status_at_ms, last_heartbeat_at_ms, checkpoint_count) values
  ('sess_01KFDFG56GX97H1V3TG68CMX73', 'default', 'repo=text', 'repo=text', false, 1, 1, 'active', 'claude', 'holder-1', 'revivable', 60000, 20000, 1666, 20000, 300000, 1768905310000, 1768905310000, 1768905250000, 1768905250000, 0);
insert into session_profile (id, account_id, preset, started_at_ms, late, reported_late, key_id, correlation_id) values
  ('sess_01KF5PBE80M0SZ80X15YVVWXP0', 'default', 'custom', 1768644000000, false, false, 'key_test', 'correlation-1');
insert into session_profile (id, account_id, preset, started_at_ms, late, reported_late, key_id, correlation_id) values
  ('sess_01KF5PBK48Q68JZZE8TBBAT62P', 'default', 'custom', 1768644005000, false, false, 'key_test', 'correlation-1');
insert into session_profile (id, account_id, preset, started_at_ms, late, reported_late, key_id, correlation_id) values
  ('sess_01KF5PBR0GBX1MZCPPCMFMGSBF', 'default', 'custom', 1768644010000, false, false, 'key_test', 'correlation-1');
insert into session_profile (id, account_id, preset, started_at_ms, late, reported_late, key_id, correlation_id) values
  ('sess_01KF5PBWWRFYA8RN8KA4FTX0F3', 'default', 'custom', 1768644015000, false, false, 'key_test', 'correlation-1');
insert into session_profile (id, account_id, preset, started_at_ms, late, reported_late, key_id, correlation_id) values
  ('sess_01KF5PDWC04JAQ6NJJ4MFQ8BVR', 'default', 'custom', 1768644080000, false, false, 'key_test', 'correlation-1');
insert into session_profile (id, account_id, preset, started_at_ms, late, reported_late, key_id, correlation_id) values
  ('sess_01KF5PFVV823RX4EYQ098G00VB', 'default', 'custom', 1768644145000, false, false, 'key_test', 'correlation-1');
insert into session_profile (id, account_id, preset, started_at_ms, late, reported_late, key_id, correlation_id) values
  ('sess_01KF5PS5PGFBGGAJP7RG7RA32Y', 'default', 'custom', 1768644450000, false, false, 'key_test', 'correlation-1');
insert into session_profile (id, account_id, preset, started_at_ms, ended_at_ms, late, reported_late, key_id, correlation_id) values
  ('sess_01KF5Q2FHREQRM0Z3MC64NGQAR', 'default', 'custom', 1768644755000, 1768644760000, false, false, 'key_test', 'correlation-1');
insert into session_profile (id, account_id, preset, started_at_ms, late, reported_late, key_id, correlation_id) values
  ('sess_01KF5Q2ME09190VG2B7YKRQMM8', 'default', 'custom', 1768644760000, false, false, 'key_test', 'correlation-1');
insert into session_profile (id, account_id, preset, started_at_ms, late, reported_late, key_id, correlation_id) values
  ('sess_01KF89RN98TCYT3PWQ5G3Q7P0Z', 'default', 'custom', 1768731465000, false, false, 'key_test', 'correlation-1');
insert into session_profile (id, account_id, preset, started_at_ms, late, reported_late, key_id, correlation_id) values
  ('sess_01KFAWEP4GJX8QYSHN9624NZFP', 'default', 'custom', 1768818170000, false, false, 'key_test', 'correlation-1');
insert into session_profile (id, account_id, preset, started_at_ms, ended_at_ms, late, reported_late, key_id, correlation_id) values
  ('sess_01KFAWEP4GS0CA52NZGD6YARMJ', 'default', 'custom', 1768818170000, 1768818175000, false, false, 'key_test', 'correlation-1');
insert into session_profile (id, account_id, preset, started_at_ms, ended_at_ms, late, reported_late, key_id, correlation_id) values
  ('sess_01KFAWEV0RDD8ESRC7Z9KZ54A7', 'default', 'custom', 1768818175000, 1768818240000, false, false, 'key_test', 'correlation-1');
insert into session_profile (id, account_id, preset, started_at_ms, late, reported_late, took_over_from, key_id, correlation_id) values
  ('sess_01KFAWGTG0BD5PNYRZ067QFYV9', 'default', 'custom', 1768818240000, false, false, 'sess_01KFAWEV0RDD8ESRC7Z9KZ54A7', 'key_test', 'correlation-1');
insert into session_profile (id, account_id, preset, started_at_ms, ended_at_ms, late, reported_late, key_id, correlation_id) values
  ('sess_01KFAWGTG0HVTZNCN7GSD1QY11', 'default', 'custom', 1768818240000, 1768818545000, false, false, 'key_test', 'correlation-1');
insert into session_profile (id, account_id, preset, started_at_ms, late, reported_late, took_over_from, key_id, correlation_id) values
  ('sess_01KFAWT4B8M2JK59Y0NC2KXAZB', 'default', 'custom', 1768818545000, false, false, 'sess_01KFAWGTG0HVTZNCN7GSD1QY11', 'key_test', 'correlation-1');
insert into session_profile (id, account_id, preset, started_at_ms, ended_at_ms, late, reported_late, key_id, correlation_id) values
  ('sess_01KFAWT4B8XR0NJ1NHNSFWHHYK', 'default', 'custom', 1768818545000, 1768905250000, false, false, 'key_test', 'correlation-1');
insert into session_profile (id, account_id, preset, started_at_ms, late, reported_late, took_over_from, key_id, correlation_id) values
  ('sess_01KFDFG56G8TJP79T3XHBVGBZM', 'default', 'custom', 1768905250000, false, false, 'sess_01KFAWT4B8XR0NJ1NHNSFWHHYK', 'key_test', 'correlation-1');
insert into session_profile (id, account_id, preset, machine_id, client_session_id, meta_json, started_at_ms, late, reported_late, key_id, correlation_id) values
  ('sess_01KFDFG56GX97H1V3TG68CMX73', 'default', 'custom', 'ünïcödé 🚀 \', 'client-1', '{"quoted": "\n", "null": null}', 1768905250000, false, false, 'key_test', 'correlation-1');
