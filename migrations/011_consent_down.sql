-- Takes 011_consent back.

set local role leadline_owner;

drop table consent_revocations;
drop table consents;
