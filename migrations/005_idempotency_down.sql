-- Forgets what was answered by Idempotency-Key.

set local role leadline_owner;

drop function claim_idempotency_key(text, text, text);
drop table idempotency_keys;
