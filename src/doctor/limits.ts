/** Times that must fit each other, as far as the configuration and the tasks alone tell. */
import type { TaskOffer } from '../ipc/exchange.ts';
import { type Finding, found } from './finding.ts';
import { placeOf, type Subject } from './subject.ts';

export interface TaskTimes {
  /** null: of all that name none. */
  readonly task: string | null;
  readonly hardSeconds: number | null;
  readonly softSeconds: number | null;
  readonly acksLate: boolean;
}

/** The limits of each task, and of those that name none. */
export function taskTimes({ config }: Subject, tasks: ReadonlyMap<string, TaskOffer> | null): readonly TaskTimes[] {
  const { task_time_limit: hard, task_soft_time_limit: soft, task_acks_late: acksLate } = config.settings;
  const general = { task: null, hardSeconds: hard, softSeconds: soft, acksLate };
  const own = [...(tasks?.values() ?? [])].map((offer) => ({
    task: offer.name,
    hardSeconds: offer.timeLimit ?? hard,
    softSeconds: offer.softTimeLimit ?? soft,
    acksLate: offer.acksLate,
  }));
  return own.length > 0 ? own : [general];
}

export function* timeLimits(subject: Subject, tasks: ReadonlyMap<string, TaskOffer> | null): Iterable<Finding> {
  const { task_time_limit: hard, task_soft_time_limit: soft } = subject.config.settings;
  for (const { task, hardSeconds, softSeconds } of taskTimes(subject, tasks)) {
    if (hardSeconds === null || softSeconds === null || softSeconds < hardSeconds) continue;
    const general = hardSeconds === hard && softSeconds === soft;
    const text = `a soft time limit must be below the hard one, got ${softSeconds} s and ${hardSeconds} s${general ? '' : ` for ${task}`}`;
    yield found('SOFT_LIMIT_TOO_LATE', text, general ? placeOf(subject, 'task_soft_time_limit') : null);
    if (general) return;
  }
}

/** Without a bound the first worker takes every message there is. */
export function* prefetch(subject: Subject): Iterable<Finding> {
  const { worker_prefetch_multiplier: multiplier, worker_disable_prefetch: none } = subject.config.settings;
  if (multiplier === 0 && !none)
    yield found(
      'PREFETCH_UNLIMITED',
      'the prefetch multiplier must bound what a worker holds, got 0',
      placeOf(subject, 'worker_prefetch_multiplier'),
    );
}
