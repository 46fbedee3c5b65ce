/** Counts the children that were replaced, or have to be, by the cause: for monitors. Decides nothing. */
import type { ChildHandle } from './child-handle.ts';
import type { ChildExit } from './job.ts';

export type RestartCause =
  | 'crash'
  | 'start_failed'
  | 'time_limit'
  | 'terminated'
  | 'max_tasks'
  | 'max_memory'
  | 'max_memory_hard'
  | 'pool_restart'
  /** It has run what had ended others. */
  | 'suspect'
  /** It asked for it, because of what its task did. */
  | 'retired';

export class ChildRestarts {
  readonly counts: Record<RestartCause, number> = {
    crash: 0,
    start_failed: 0,
    time_limit: 0,
    terminated: 0,
    max_tasks: 0,
    max_memory: 0,
    max_memory_hard: 0,
    pool_restart: 0,
    suspect: 0,
    retired: 0,
  };

  /** A child has ended that the pool still has a place for. */
  note(child: ChildHandle, exit: ChildExit): void {
    this.counts[causeOf(child, exit)] += 1;
  }
}

function causeOf({ tenure, wasReady, letGo, killed }: ChildHandle, { exitCode }: ChildExit): RestartCause {
  if (tenure.killedBecause !== null) return 'max_memory_hard';
  if (killed !== null) return killed.outcome.kind === 'time-limit' ? 'time_limit' : 'terminated';
  if (!wasReady) return 'start_failed';
  if (!letGo || exitCode !== 0) return 'crash';
  return tenure.renewal ?? (tenure.used ? 'max_tasks' : 'retired');
}
