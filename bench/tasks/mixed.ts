/** A task of the benchmark that takes as long as its caller says, waiting, and gives back when it started. */
import { setTimeout as delay } from 'node:timers/promises';

/** Nanoseconds of the monotonic clock, which all processes of a machine share, as text. */
export async function wait(ms: number): Promise<string> {
  const startedAtNs = process.hrtime.bigint();
  await delay(ms);
  return String(startedAtNs);
}
