/** The solo pool: the conformance suite with the one child that lives in this very process, and what only it has. */
import t from 'tap';
import { startSoloChild } from '../../src/child/solo-home.ts';
import { PreforkPool } from '../../src/pool/prefork-pool.ts';
import { soloChild } from '../../src/pool/solo-link.ts';
import { poolConformance } from './conformance.ts';
import type { PoolFactory } from './pool-bench.ts';

const solo: PoolFactory = (params) =>
  new PreforkPool({ ...params, concurrency: 1, kind: soloChild(startSoloChild), startTimeoutMs: 30_000, childLog: () => params.log });

t.jobs = 1;
poolConformance(t, {
  name: 'solo',
  create: solo,
  features: { resize: false, terminate: false, memoryLimits: false },
  processes: false,
});
