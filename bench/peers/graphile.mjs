// graphile-worker, tuned as its own documentation does it: fetches 500 jobs at once and completes them in batches.
// Each job is one small transaction. Prints the jobs a second, from the start of the runner until no job is left.
import { createRequire } from "node:module";

const [, , dsn, installed, jobs] = process.argv;
const require = createRequire(`${installed}/`);
const { run, makeWorkerUtils, Logger } = require("graphile-worker");
const { Pool } = require("pg");

const quiet = new Logger(() => () => {});
const pool = new Pool({ connectionString: dsn, max: 25 });
const utils = await makeWorkerUtils({ connectionString: dsn, logger: quiet });
await utils.migrate();
await pool.query("create table if not exists peer_done (job integer not null, done_at timestamptz not null)");
await pool.query("truncate peer_done");
await pool.query(
  `select graphile_worker.add_jobs(array(
     select json_populate_record(null::graphile_worker.job_spec, json_build_object('identifier', 'step', 'payload', json_build_object('job', n)))
     from generate_series(1, $1::integer) as n))`,
  [jobs],
);
await pool.query("analyze");

let done = 0;
let finish;
const finished = new Promise((resolve) => { finish = resolve; });
const started = performance.now();
const runner = await run({
  preset: {
    worker: {
      connectionString: dsn,
      concurrentJobs: 24,
      maxPoolSize: 25,
      localQueue: { size: 500 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
      logger: quiet,
    },
  },
  noHandleSignals: true,
  taskList: {
    step: async ({ job }, helpers) => {
      await helpers.withPgClient((client) => client.query("insert into peer_done values ($1, now())", [job]));
      if (++done === Number(jobs)) finish();
    },
  },
});
await finished;
const seconds = (performance.now() - started) / 1000;
await runner.stop();
await utils.release();
await pool.end();
console.log(Number(jobs) / seconds);
