/**
 * Figures of the tasks a worker has run, for monitors: how long they waited and ran, of which type their failures were.
 *
 * Owns the bounds: of the ranges, and of how many names are told apart.
 */
import { CappedMap } from '../std/capped-map.ts';
import { Histogram } from '../std/histogram.ts';
import type { Request } from './request.ts';

/** Seconds. */
const bounds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 1800];
const mostQueues = 50;
export const mostTasks = 100;
const mostTypes = 50;

export class TaskMeter {
  /** By queue: from the receipt of a message to the start of its task. */
  readonly waited = new CappedMap(mostQueues, () => new Histogram(bounds));
  /** By task: those that ended by themselves, however they did. */
  readonly ran = new CappedMap(mostTasks, () => new Histogram(bounds));
  /** By type of the exception. */
  readonly failures = new CappedMap(mostTypes, () => ({ count: 0 }));
  /** performance.now() of the last receipt; null: there was none. */
  lastReceivedAtMs: number | null = null;

  received({ receivedAtMs }: Request): void {
    this.lastReceivedAtMs = receivedAtMs;
  }

  started({ delivery, receivedAtMs }: Request): void {
    this.waited.get(delivery.queue).observe((performance.now() - receivedAtMs) / 1000);
  }

  ended(taskName: string, runtimeSeconds: number): void {
    this.ran.get(taskName).observe(runtimeSeconds);
  }

  /** `exception` as Python shows it: its type, and the rest in parentheses. */
  failed(exception: string): void {
    const type = /^[\w$.]+/.exec(exception)?.[0] ?? 'unknown';
    this.failures.get(type.slice(0, 100)).count += 1;
  }
}
