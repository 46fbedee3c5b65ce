/** What the tasks of one run have marked: the check for exact delivery, shared by all programs measured. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Throws unless every task was executed exactly once. Returns when the first one started, on the monotonic clock. */
export function checkRecords(folder: string, tasks: number): bigint {
  const total = new Uint32Array(tasks);
  let firstAtNs: bigint | null = null;
  for (const name of readdirSync(folder)) {
    if (name.endsWith('.last')) continue;
    const content = readFileSync(join(folder, name));
    if (name.endsWith('.first')) {
      const atNs = BigInt(content.toString());
      if (atNs !== 0n && (firstAtNs === null || atNs < firstAtNs)) firstAtNs = atNs;
    } else for (const [number, times] of content.entries()) total[number] = (total[number] ?? 0) + times;
  }
  const missing = total.filter((times) => times === 0).length;
  const repeated = total.filter((times) => times > 1).length;
  if (missing > 0 || repeated > 0 || firstAtNs === null) {
    throw new Error(`each of ${tasks} tasks must be executed once, got ${missing} never and ${repeated} more than once`);
  }
  return firstAtNs;
}

/** When the last task started, on the monotonic clock; of programs that leave this mark. */
export function lastStart(folder: string): bigint {
  const marks = readdirSync(folder).filter((name) => name.endsWith('.last'));
  let last = 0n;
  for (const name of marks) {
    const one = BigInt(readFileSync(join(folder, name), 'utf8'));
    if (one > last) last = one;
  }
  return last;
}
