"""Rules and areas as the database has them. A question is sent at once and read when its answer is called for."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

from leadline.db import Transaction
from leadline.hours.places import AreaCode
from leadline.hours.rules import Rule, Rulebook, Window


def ask_rules(tx: Transaction) -> Callable[[], Rulebook]:
    """Sends for all rules, holidays and zones of states; they travel with the statements sent before and after.

    All versions: which are in force is judged by the date of the slot. Three tables of some hundred rows in all.
    """
    rules = tx.execute(
        """
        select
            id, version, region, channel, closed_on_holidays, cap, cap_hours, cap_channels, days_after_refusal,
            valid_from, valid_to,
            coalesce(
                (
                    select json_agg(json_build_array(
                        days, (extract(epoch from opens) / 60)::integer, (extract(epoch from closes) / 60)::integer
                    ))
                    from calling_windows
                    where rule_id = calling_rules.id and rule_version = calling_rules.version
                ),
                '[]'
            ) as windows
        from calling_rules
        order by id, version
        """
    )
    holidays = tx.execute("select region, day, name from holidays")
    zones = tx.execute(
        """
        select region, array_agg(distinct zone) as zones
        from area_codes, unnest(time_zones) as zone
        where country = 'US'
        group by region
        """
    )

    def answer() -> Rulebook:
        by_region: defaultdict[str, dict[date, str]] = defaultdict(dict)
        for row in holidays.fetchall():
            by_region[row["region"]][row["day"]] = row["name"]
        return Rulebook(
            rules=tuple(_rule(row) for row in rules.fetchall()),
            holidays=dict(by_region),
            zones={row["region"]: frozenset(row["zones"]) for row in zones.fetchall()},
        )

    return answer


def ask_areas(tx: Transaction, numbers: Iterable[str]) -> Callable[[], dict[str, AreaCode]]:
    """Sends for the areas of E.164 numbers; a number that has none is not in the answer."""
    rows = tx.execute(
        """
        select number, region, time_zones
        from unnest(%(numbers)s::text[]) as number
        join area_codes on number ^@ '+1' and length(number) = 12 and area_code = substr(number, 3, 3)
        """,
        {"numbers": list(numbers)},
    )
    return lambda: {row["number"]: AreaCode(row["region"], frozenset(row["time_zones"])) for row in rows.fetchall()}


def _rule(row: dict[str, Any]) -> Rule:
    row["windows"] = tuple(Window(frozenset(days), opens, closes) for days, opens, closes in row["windows"])
    row["cap_channels"] = tuple(row["cap_channels"])
    return Rule(**row)
