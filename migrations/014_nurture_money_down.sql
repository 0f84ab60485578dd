-- Takes 014_nurture_money back.

set local role leadline_owner;

drop function release_holds(uuid []);
drop function settle_holds(uuid []);
