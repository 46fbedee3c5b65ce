/** How often sending is tried again while the broker is not there, and when. Celery's retry policy. */
import { isBrokerAway } from '../errors.ts';
import { type Clock, systemClock } from '../std/clock.ts';

/** In seconds, as Celery has it. */
export interface RetryPolicy {
  /** After the first try. */
  readonly maxRetries: number;
  readonly intervalStart: number;
  readonly intervalStep: number;
  readonly intervalMax: number;
}

export const defaultRetryPolicy: RetryPolicy = { maxRetries: 3, intervalStart: 0, intervalStep: 0.2, intervalMax: 1 };

/** Whether all it says is of a policy. */
export function isRetryPolicy(value: unknown): value is Partial<RetryPolicy> {
  if (typeof value !== 'object' || value === null) return false;
  const fits = (given: unknown): boolean => given === undefined || (typeof given === 'number' && Number.isFinite(given) && given >= 0);
  return Object.entries(value).every(([key, given]) => Object.hasOwn(defaultRetryPolicy, key) && fits(given));
}

/** Before the retry with this number, from 0. */
export function retryDelayMs(policy: RetryPolicy, retry: number): number {
  return 1000 * Math.min(policy.intervalStart + retry * policy.intervalStep, policy.intervalMax);
}

/** The first attempt ended in `failure`: go on. Rejects with the last failure, and at once with one that another try would not mend. */
export async function tryAgain(
  attempt: () => Promise<void>,
  failure: unknown,
  policy: RetryPolicy,
  clock: Clock = systemClock,
): Promise<void> {
  let last = failure;
  for (let retry = 0; retry < policy.maxRetries && isBrokerAway(last); retry++) {
    await new Promise<void>((resolve) => clock.setTimer(resolve, retryDelayMs(policy, retry)));
    try {
      return await attempt();
    } catch (error) {
      last = error;
    }
  }
  throw last;
}
