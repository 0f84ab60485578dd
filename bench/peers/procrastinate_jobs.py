"""procrastinate with 24 jobs at once; each is one small transaction. Prints the jobs a second."""

import asyncio
import logging
import sys
import time

import procrastinate
import psycopg_pool


async def main(dsn: str, jobs: int) -> None:
    logging.disable(logging.CRITICAL)
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=dsn, min_size=4, max_size=25))
    async with app.open_async(), psycopg_pool.AsyncConnectionPool(dsn, min_size=4, max_size=25, open=False) as pool:
        async with pool.connection() as conn:
            await conn.execute(
                "create table if not exists peer_done (job integer not null, done_at timestamptz not null)"
            )
            await conn.execute("truncate peer_done")
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()

        @app.task(name="step")
        async def step(job: int) -> None:
            async with pool.connection() as conn:
                await conn.execute("insert into peer_done values (%s, now())", [job])

        await step.batch_defer_async(*({"job": job} for job in range(jobs)))
        started = time.perf_counter()
        await app.run_worker_async(concurrency=24, wait=False, listen_notify=False, install_signal_handlers=False)
        print(jobs / (time.perf_counter() - started))


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
