-- Takes 015_many_at_once back.

set local role leadline_owner;

drop function release_holds(uuid []);
drop function settle_holds(uuid []);

create or replace function lock_numbers(addresses text []) returns void
language plpgsql set search_path = public, pg_temp
as $$
declare
    address text;
begin
    if cardinality(addresses) > 500 then
        perform lock_all_numbers();
        return;
    end if;
    -- By code point, as Python sorts: two who lock the same numbers must meet in the same order.
    for address in select distinct a.number collate "C" from unnest(addresses) as a (number) order by 1 loop
        perform lock_number(address);
    end loop;
end
$$;
