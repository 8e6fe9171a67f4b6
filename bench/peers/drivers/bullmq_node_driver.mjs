// BullMQ on Node, from docs.bullmq.io ("Concurrency", "Adding jobs in bulk", "Auto-removal of jobs", "Prioritized",
// "Flows", "Going to production"):
//
// - concurrency: 100
// - removeOnComplete: true: jobs "will be removed automatically as soon as they finalize"
// - addBulk of a queue and of the flow producer
// - priority 1 to 3; 1 is the most urgent
// - ioredis (its default client), maxRetriesPerRequest: null for the worker
//
// A flow is a tree: a job has one parent. In place of layers there are trees of 40 jobs (27, 9, 3, 1), in which each
// job waits for three others too; and the fan lacks its first job.
//
// It speaks as harness.py says, and knows one word more:
//   memory URL COUNT STATE   a document on stdin; COUNT jobs with it, left pending, active or completed
//
// It is started in the folder of its environment, whose packages it takes.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { writeSync } from "node:fs";

const require = createRequire(`${process.cwd()}/package.json`);
const { FlowProducer, Queue, Worker } = require("bullmq");

const TYPES = ["eng-backend", "eng-frontend", "eng-qa"];
const LEVELS = 3;
const CONCURRENCY = 100;
const LANES = 32;
const BATCH = 1000;
// Node compiles what it has run often: the first 2,000 calls are half as fast as the next 2,000.
const WARM = 2000;
const QUEUE = "bench";
const TREE = 40;
const TELL_MS = 50;
const SETTLE_MS = 300;

const [word, url, ...rest] = process.argv.slice(2);
const connection = connectionOf(url);
const say = (line) => writeSync(1, `${line}\n`);
const now = () => Number(process.hrtime.bigint()) / 1e9; // CLOCK_MONOTONIC

function connectionOf(text) {
  const parts = new URL(text);
  if (parts.protocol === "unix:") return { path: parts.pathname };
  return { host: parts.hostname, port: Number(parts.port || 6379), db: Number(parts.pathname.slice(1) || 0) };
}

function job(number) {
  const level = Math.floor(number / TYPES.length) % LEVELS;
  return {
    name: TYPES[number % TYPES.length],
    data: { run: number },
    opts: { priority: level + 1, removeOnComplete: true },
  };
}

const put = (queue, { name, data, opts }) => queue.add(name, data, opts);
const jobs = (first, count) => Array.from({ length: count }, (_, place) => job(first + place));

async function single(queue, todo) {
  for (const one of todo) await put(queue, one);
}

async function lanes(queue, todo) {
  let next = 0;
  const lane = async () => {
    while (next < todo.length) await put(queue, todo[next++]);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

async function bulk(queue, count) {
  for (let first = 0; first < count; first += BATCH) await queue.addBulk(jobs(first, Math.min(BATCH, count - first)));
}

async function enqueue(count, mode) {
  const queue = new Queue(QUEUE, { connection });
  await queue.waitUntilReady();
  const ways = { single, parallel32: lanes, batch1000: (to, todo) => bulk(to, todo.length) };
  const way = ways[mode];
  const todo = jobs(0, count);
  await way(queue, jobs(0, WARM));
  const began = now();
  await way(queue, todo);
  say(JSON.stringify({ seconds: now() - began, tasks: count, warmed: WARM }));
}

async function fill(count) {
  await bulk(new Queue(QUEUE, { connection }), count);
  say(JSON.stringify({ tasks: count }));
}

function tree(levels) {
  const children = levels > 1 ? Array.from({ length: 3 }, () => tree(levels - 1)) : [];
  return { name: TYPES[0], queueName: QUEUE, data: { run: 0 }, opts: { removeOnComplete: true }, children };
}

async function dag(shape, count) {
  const queue = new Queue(QUEUE, { connection });
  await put(queue, job(0));
  const flows = new FlowProducer({ connection });
  await flows.waitUntilReady();
  const began = now();
  let tasks = count;
  if (shape === "fan") {
    await flows.add({ ...tree(1), children: Array.from({ length: count - 1 }, () => tree(1)) });
  } else {
    const trees = Array.from({ length: Math.floor(count / TREE) }, () => tree(4));
    tasks = trees.length * TREE;
    for (let first = 0; first < trees.length; first += 25) await flows.addBulk(trees.slice(first, first + 25));
  }
  say(JSON.stringify({ seconds: now() - began, tasks, warmed: 1 }));
}

async function work(each) {
  const times = [];
  const handle = async () => {
    times.push(now());
    if (each) say(times[times.length - 1]);
  };
  const options = { connection: { ...connection, maxRetriesPerRequest: null }, concurrency: CONCURRENCY, autorun: false };
  const worker = new Worker(QUEUE, handle, options);
  await worker.waitUntilReady();
  const lines = createInterface({ input: process.stdin });
  say("ready");
  let used;
  lines.once("line", () => {
    used = process.cpuUsage();
    let told = 0;
    const tell = () => {
      if (times.length > told) say(`done ${(told = times.length)}`);
    };
    if (!each) setInterval(tell, TELL_MS);
    worker.run();
  });
  lines.once("close", () => {
    const { user, system } = used ? process.cpuUsage(used) : { user: 0, system: 0 };
    const tasks = times.length;
    const end = () => {
      const [first, last] = tasks ? [times[0], times[tasks - 1]] : [0, 0];
      say(JSON.stringify({ first, last, tasks, cpu: (user + system) / 1e6 }));
      process.exit(0);
    };
    setTimeout(end, SETTLE_MS);
  });
}

async function give() {
  const queue = new Queue(QUEUE, { connection });
  await queue.waitUntilReady();
  say("ready");
  let number = 0;
  for await (const _ of createInterface({ input: process.stdin })) {
    const called = now();
    await put(queue, job(number++));
    say(`${called} ${now()}`);
  }
}

async function memory(count, state) {
  let text = "";
  for await (const part of process.stdin) text += part;
  const data = JSON.parse(text);
  const queue = new Queue(QUEUE, { connection });
  for (let first = 0; first < count; first += BATCH) {
    const some = jobs(first, Math.min(BATCH, count - first));
    await queue.addBulk(some.map((one) => ({ ...one, data, opts: { priority: one.opts.priority } })));
  }
  if (state !== "pending") {
    // By hand, so that all are taken and none is worked on: the lock of each job is part of what it costs.
    const worker = new Worker(QUEUE, null, { connection, autorun: false, lockDuration: 3_600_000 });
    for (let place = 0; place < count; place++) {
      const one = await worker.getNextJob(`bench:${place}`);
      if (state === "completed") await one.moveToCompleted(null, `bench:${place}`, false);
    }
  }
  say(JSON.stringify({ tasks: count }));
}

const calls = {
  enqueue: () => enqueue(Number(rest[0]), rest[1]),
  fill: () => fill(Number(rest[0])),
  dag: () => dag(rest[0], Number(rest[1])),
  drain: () => work(false),
  pickup: () => work(true),
  give,
  memory: () => memory(Number(rest[0]), rest[1]),
};
await calls[word]();
if (word !== "drain" && word !== "pickup") process.exit(0);
