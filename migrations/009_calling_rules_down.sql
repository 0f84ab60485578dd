-- Takes calling rules, holidays and area codes away.

set local role leadline_owner;

drop table holidays;
drop table calling_windows;
drop table calling_rules;
drop table area_codes;
drop function open_for_reading(regclass);
