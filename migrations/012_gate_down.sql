-- Takes 012_gate back.

set local role leadline_owner;

drop table gate_decisions;
