/** The pool of threads: the conformance suite with threads run from source, and what only they have. */
import { resolve } from 'node:path';
import t from 'tap';
import { PreforkPool } from '../../src/pool/prefork-pool.ts';
import { threadChildren } from '../../src/pool/thread-link.ts';
import { poolConformance } from './conformance.ts';
import type { PoolFactory } from './pool-bench.ts';

delete process.env.NODE_OPTIONS;

const main = resolve(import.meta.dirname, '../../src/main.ts');
const threads: PoolFactory = (params) =>
  new PreforkPool({ ...params, kind: threadChildren({ file: main }), startTimeoutMs: 30_000, childLog: () => params.log });

t.jobs = 1;
poolConformance(t, {
  name: 'threads',
  create: threads,
  features: { resize: true, terminate: true, memoryLimits: false },
  processes: false,
});
