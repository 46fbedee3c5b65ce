/** A job of a type that is never run: for tests of what is decided about jobs. */
import { Job } from '../../src/pool/job.ts';
import type { TimeLimit } from '../../src/pool/time-limits.ts';

export function jobOfType(taskName: string, timeLimit: TimeLimit | null = null): Job {
  const never = (): never => {
    throw new Error('this job is not run');
  };
  const listener = { onStarted: never, onSucceeded: never, onEnded: never, onWorkerLost: never, onReturned: never };
  return new Job({ id: 1, taskName, taskId: 'id', meta: '', body: '', listener, timeLimit });
}
