/**
 * What is done when a time limit is over. Soft: the child is told, and the task hears of it at its next await. Hard: the child is
 * killed and with it the task.
 *
 * Owns the lines about it, and that a task which blocks its child is looked at shortly before it is killed: its stack is in the log, and in its failure.
 * Deadlines are pool/task-deadlines.ts; that no other task is hit is pool/kill-for-job.ts.
 */
import type { Logger } from '../log/logger.ts';
import { idleStack } from '../os/inspector-stack.ts';
import type { Clock } from '../std/clock.ts';
import type { ChildHandle } from './child-handle.ts';
import type { Job } from './job.ts';
import { killForJob } from './kill-for-job.ts';
import type { Pool } from './pool.ts';
import { TaskDeadlines } from './task-deadlines.ts';
import type { TimeLimit, TimeLimits } from './time-limits.ts';

/** A child that is not blocked answers within this time, also on a busy machine. */
const answerMs = 300;
/** How long each step on the way to a stack may take. */
const stackMs = 1000;
/** What is not known so long after the deadline is not waited for: a kill comes within a second of it. */
const patienceAtKillMs = 400;

export interface LimitEnforcerParams {
  readonly limits: TimeLimits;
  readonly clock: Clock;
  readonly log: Logger;
  readonly pool: Pick<Pool, 'name' | 'features'>;
}

export class LimitEnforcer {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #pool: LimitEnforcerParams['pool'];
  readonly #deadlines: TaskDeadlines;
  /** Where tasks stand whose hard limit is near; null: not blocked. */
  readonly #looks = new WeakMap<Job, Promise<readonly string[] | null>>();

  constructor({ limits, clock, log, pool }: LimitEnforcerParams) {
    this.#pool = pool;
    this.#log = log;
    this.#clock = clock;
    this.#deadlines = new TaskDeadlines({
      limits,
      clock,
      onSoft: (job, limit) => void this.#onSoft(job, limit),
      onHardNear: (job) => this.#onHardNear(job),
      onHard: (job, limitSeconds) => void this.#onHard(job, limitSeconds),
    });
  }

  started(job: Job): void {
    this.#deadlines.started(job);
  }

  ended(job: Job): void {
    this.#deadlines.ended(job);
  }

  stop(): void {
    this.#deadlines.stop();
  }

  async #onSoft(job: Job, { softSeconds: limitSeconds, hardSeconds }: TimeLimit): Promise<void> {
    const { child } = job;
    if (child === null) return;
    this.#log.warning('task.soft-limit', `Soft time limit (${limitSeconds}s) exceeded for ${job.label}`, fieldsOf(job, child));
    child.softLimit(job, { limitSeconds: limitSeconds ?? 0, alone: hardSeconds === null });
    const stack = await stackIfBlocked(child);
    if (stack === null || job.child !== child || child.killed !== null) return;
    this.#log.warning('task.blocked', `${job.label} blocks its child and cannot hear of its soft time limit:\n${stack.join('\n')}`, {
      ...fieldsOf(job, child),
      stack,
    });
  }

  #onHardNear(job: Job): void {
    if (job.child !== null && this.#pool.features.terminate) this.#looks.set(job, stackIfBlocked(job.child));
  }

  async #onHard(job: Job, limitSeconds: number): Promise<void> {
    const { child } = job;
    if (child === null) return;
    if (!this.#pool.features.terminate) {
      const text = `Hard time limit (${limitSeconds}s) exceeded for ${job.label}, and the pool '${this.#pool.name}' cannot end it: it goes on`;
      this.#log.error('task.hard-limit', text, fieldsOf(job, child));
      return;
    }
    const stack = await this.#within(patienceAtKillMs, this.#looks.get(job));
    await killForJob({
      job,
      outcome: { kind: 'time-limit', limitSeconds, stack },
      onCertain: () => {
        const where = stack === null ? '' : `:\n${stack.join('\n')}`;
        this.#log.error('task.hard-limit', `Hard time limit (${limitSeconds}s) exceeded for ${job.label}${where}`, {
          ...fieldsOf(job, child),
          ...(stack === null ? null : { stack }),
        });
      },
    });
  }

  async #within(timeoutMs: number, look: Promise<readonly string[] | null> | undefined): Promise<readonly string[] | null> {
    const late = Promise.withResolvers<readonly string[]>();
    const timer = this.#clock.setTimer(() => late.resolve(['no answer: blocked, and no stack in time']), timeoutMs);
    const stack = await Promise.race([look ?? null, late.promise]);
    this.#clock.clearTimer(timer);
    return stack;
  }
}

/** null: it answers, or would if it got to it, so it is not blocked. */
async function stackIfBlocked(child: ChildHandle): Promise<readonly string[] | null> {
  if ((await child.dump(answerMs)) !== null) return null;
  const stack = await child.inspector.stack(stackMs);
  return stack[0] === idleStack ? null : stack;
}

function fieldsOf(
  { taskId, taskName }: Job,
  { index, pid }: ChildHandle,
): { taskId: string; taskName: string; child: number; pid: number } {
  return { taskId, taskName, child: index, pid };
}
