/**
 * From a configuration to the pool it asks for: what its children are, how many there are, and how many tasks each runs at a time.
 *
 * Owns how this program becomes a child: the command of a process, the program of a thread, the call within the worker.
 */
import { getAsset, isSea } from 'node:sea';
import type { Config } from '../config/config.ts';
import { UmbelError } from '../errors.ts';
import type { LocalChild, LocalParent } from '../ipc/local-child.ts';
import type { Logger } from '../log/logger.ts';
import { cpuCount } from '../os/process-info.ts';
import type { ChildKind } from '../pool/child-link.ts';
import { type ChildCommand, processChildren } from '../pool/process-link.ts';
import { soloChild } from '../pool/solo-link.ts';
import { type ThreadProgram, threadChildren } from '../pool/thread-link.ts';

export interface PoolShape {
  /** Celery's figure, for people. */
  readonly concurrency: number;
  /** The same, as the banner shows it: a range when it follows the load. */
  readonly text: string;
  /** At the start. */
  readonly children: number;
  /** Tasks one child runs at a time. */
  readonly slots: number;
}

export function poolShape({ settings, origin }: Pick<Config, 'settings' | 'origin'>): PoolShape {
  const concurrency = settings.worker_concurrency ?? cpuCount();
  const slots = settings.worker_child_concurrency;
  const range = settings.worker_autoscale;
  const shape = (children: number, places = slots, figure = concurrency): PoolShape => {
    if (range === null) return { concurrency: figure, text: String(figure), children, slots: places };
    return { concurrency: range.max, text: `{min=${range.min}, max=${range.max}}`, children: Math.max(1, range.min), slots: places };
  };
  switch (settings.worker_pool) {
    case 'prefork':
    case 'threads':
      return shape(concurrency);
    case 'solo':
      return shape(1, slots, 1);
    case 'async': {
      if (origin('worker_child_concurrency').kind === 'default') return shape(1, concurrency);
      return shape(Math.ceil(concurrency / slots));
    }
  }
}

/** Says what of the configuration has no effect with that pool. */
export function poolKind({ settings, origin }: Pick<Config, 'settings' | 'origin'>, log: Logger): ChildKind {
  const { worker_pool: pool, worker_concurrency: concurrency } = settings;
  switch (pool) {
    case 'prefork':
    case 'async':
      return processChildren(childCommand(), pool);
    case 'threads':
      return threadChildren(threadProgram());
    case 'solo':
      if (concurrency !== null && concurrency > 1) {
        const where = origin('worker_concurrency').text;
        log.warning('pool.single', `the 'solo' pool has one child: worker.concurrency has no effect, got ${concurrency} (${where})`);
      }
      return soloChild(startSoloChild);
  }
}

/** The command that becomes a pool child of this program. */
export function childCommand(): ChildCommand {
  if (isSea()) return { execPath: process.execPath, args: ['pool-child'] };
  // A binary has these baked in.
  return {
    execPath: process.execPath,
    args: ['--disable-warning=ExperimentalWarning', '--disable-warning=MODULE_TYPELESS_PACKAGE_JSON', programFile(), 'pool-child'],
  };
}

/** The text of this program within the executable (scripts/build-binary.ts): there is no file that a thread could run. */
const programAsset = 'umbel.cjs';

function threadProgram(): ThreadProgram {
  return isSea() ? { source: getAsset(programAsset, 'utf8') } : { file: programFile() };
}

function programFile(): string {
  const file = process.argv[1];
  if (file === undefined) throw new UmbelError('INTERNAL', 'a worker must be started from a program file, got none in process.argv');
  return file;
}

/** What only children need is loaded when this process becomes one; what it is told until then waits. */
function startSoloChild(parent: LocalParent): LocalChild {
  const early: Buffer[] = [];
  let child: LocalChild | null = null;
  let dropped = false;
  void import('../child/solo-home.ts').then((home) => {
    if (dropped) return;
    child = home.startSoloChild(parent);
    for (const bytes of early) child.hear(bytes);
  });
  return {
    hear: (bytes) => {
      if (child === null) early.push(bytes);
      else child.hear(bytes);
    },
    drop: () => {
      dropped = true;
      child?.drop();
    },
  };
}
