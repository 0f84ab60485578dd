-- Takes the foundation away. The roles stay: they belong to the cluster, and another database may use them. So do the rights
-- on database and schema that leadline_owner was given where an administrator applied the foundation by hand.

set local role leadline_owner;

drop function enter_context(uuid, uuid, text, text, text, text, text, text, text);
drop table members;
drop table organizations;
drop table tenants;
drop function isolate_by_tenant(regclass, text, name);
drop domain e164;
drop function uuid_v7();
drop function current_user_id();
drop function current_org_id();
drop function current_tenant_id();

revoke usage on schema public from leadline_app, leadline_dispatch, leadline_finder;
alter default privileges grant execute on functions to public;

do $$
declare
    role_name text;
begin
    foreach role_name in array array ['leadline_app', 'leadline_dispatch'] loop
        execute format('alter role %I in database %I reset all', role_name, current_database());
    end loop;
end
$$;

drop extension btree_gin;
drop extension pgcrypto;
drop extension pg_trgm;
