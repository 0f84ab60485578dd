-- Takes the ledger's accounts, holds and functions away, and the domain events.

set local role leadline_owner;

drop function ledger_mismatches();
drop function uncap_member(uuid);
drop function cap_member(uuid, numeric);
drop function cancel_calls(text [], uuid []);
drop function settle_hold(uuid, numeric, text);
drop function book_calls(text [], uuid [], numeric [], uuid [], text [], text []);
drop function call_refunds(text [], boolean);
drop function expire_holds(uuid []);
drop function release_holds_of(text []);
drop function release_hold(uuid);
drop function end_holds(uuid [], text);
drop function place_holds(uuid [], numeric [], text [], text [], uuid [], uuid [], text [], uuid [], timestamptz []);
drop function refund_budget(uuid, numeric, text, jsonb, text);
drop function book_budget(text, numeric, uuid, text, text, text, jsonb, text);
drop function lock_budget();
drop function cap_rooms();
drop function acting_person();
drop function post_budget(budget_transactions [], numeric, bigint);
drop function alert_of_budget(budget_transactions [], numeric, boolean);
drop function money_text(numeric);
drop function budget_spending(budget_transactions [], timestamptz);
drop function budget_month(timestamptz);
drop function lock_available();
drop function budget_entry(text, text, text, numeric, uuid, text, text, uuid, text, uuid, text, jsonb, text);
drop index budget_transactions_by_hold;
drop index budget_transactions_by_refunded;
alter table budget_transactions
    drop constraint balances_are_those_of_available,
    drop constraint amounts_are_numbers,
    drop constraint budget_transactions_organization_id_refund_of_fkey,
    drop constraint budget_transactions_in_one_order,
    drop column refund_of,
    drop column call_id,
    drop column hold_id,
    drop column sequence,
    alter column balance_after type numeric(18, 6),
    alter column balance_before type numeric(18, 6);
comment on column budget_transactions.balance_before is null;
grant insert on budget_transactions to leadline_app;
drop table budget_caps;
drop table budget_calls;
drop table budget_holds;
drop table budget_accounts;
drop table domain_events;
