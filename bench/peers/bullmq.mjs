// BullMQ on a Redis that keeps what it is told (appendfsync everysec, its default for durability); each job is one small transaction.
// Prints the jobs a second, from the start of the worker until no job is left.
import { createRequire } from "node:module";

const [, , dsn, installed, jobs, port] = process.argv;
const require = createRequire(`${installed}/`);
const { Queue, Worker } = require("bullmq");
const { Pool } = require("pg");

const connection = { host: "127.0.0.1", port: Number(port) };
const pool = new Pool({ connectionString: dsn, max: 25 });
await pool.query("create table if not exists peer_done (job integer not null, done_at timestamptz not null)");
await pool.query("truncate peer_done");
const queue = new Queue("steps", { connection });
await queue.obliterate({ force: true });
for (let from = 0; from < Number(jobs); from += 1000) {
  await queue.addBulk(
    Array.from({ length: Math.min(1000, Number(jobs) - from) }, (_, n) => ({
      name: "step",
      data: { job: from + n },
      opts: { removeOnComplete: true },
    })),
  );
}

let done = 0;
let finish;
const finished = new Promise((resolve) => { finish = resolve; });
const started = performance.now();
const worker = new Worker(
  "steps",
  async ({ data }) => { await pool.query("insert into peer_done values ($1, now())", [data.job]); },
  { connection, concurrency: 24 },
);
worker.on("completed", () => { if (++done === Number(jobs)) finish(); });
await finished;
const seconds = (performance.now() - started) / 1000;
await worker.close();
await queue.close();
await pool.end();
console.log(Number(jobs) / seconds);
