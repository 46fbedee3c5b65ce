/**
 * Automatic retries: what a task's function threw may become a retry, by its options `autoretryFor` and those beside it.
 *
 * The rules are Celery's (worker-behaviour.md §14). Ignore, Reject and Retry say what is to happen, and are left alone.
 */
import { exponentialBackoff } from '../std/backoff.ts';
import { Ignore, Reject, Retry } from '../task/control-flow.ts';
import { matchesError } from '../task/error-matcher.ts';
import { behindAbort } from '../task/soft-time-limit.ts';
import type { TaskContext } from '../task/task-context.ts';
import type { ResolvedTaskOptions } from '../task/task-options.ts';

/** What counts as thrown: a Retry, or the same when there is none or no retries are left. */
export function autoRetry(options: ResolvedTaskOptions, context: TaskContext, outcome: unknown): unknown {
  const thrown = behindAbort(outcome);
  if (options.autoretryFor.length === 0 || !isMeant(options, thrown)) return thrown;
  const { retryKwargs, retryBackoff, retryBackoffMax, retryJitter } = options;
  const countdown =
    retryBackoff === 0
      ? retryKwargs.countdown
      : exponentialBackoff({ factor: retryBackoff, retries: context.retries, maximum: retryBackoffMax, jitter: retryJitter });
  try {
    return context.retry({ exc: thrown, countdown, maxRetries: context.maxRetriesAsked ?? retryKwargs.maxRetries });
  } catch (retry) {
    return retry;
  }
}

function isMeant({ autoretryFor, dontAutoretryFor }: ResolvedTaskOptions, thrown: unknown): boolean {
  try {
    if (thrown instanceof Ignore || thrown instanceof Retry || thrown instanceof Reject) return false;
    return matchesError(thrown, autoretryFor) && !matchesError(thrown, dontAutoretryFor);
  } catch {
    // A proxy that throws when looked at: it is the task's failure.
    return false;
  }
}
