/**
 * Tasks of the benchmark. `noop` does nothing but mark its number as executed, in memory; the marks are written when the child
 * exits, so that the check for exact delivery costs the measured path one array access.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = process.env.UMBEL_BENCH_RECORDS;
const seen = new Uint8Array(Number(process.env.UMBEL_BENCH_TASKS ?? 0));
let firstAtNs = 0n;
let lastAtMs = 0;

if (folder !== undefined && seen.length > 0) {
  process.on('exit', () => {
    writeFileSync(join(folder, `${process.pid}.seen`), seen);
    writeFileSync(join(folder, `${process.pid}.first`), String(firstAtNs));
    // Milliseconds are cheaper to take than nanoseconds, and count from another moment.
    const agoNs = BigInt(Math.round((performance.now() - lastAtMs) * 1e6));
    writeFileSync(join(folder, `${process.pid}.last`), String(process.hrtime.bigint() - agoNs));
  });
}

export function noop(number: number): void {
  if (firstAtNs === 0n) firstAtNs = process.hrtime.bigint();
  seen[number] = (seen[number] ?? 0) + 1;
  lastAtMs = performance.now();
}

/** Nanoseconds of the monotonic clock, which all processes of a machine share, as text. */
export function startedAt(): string {
  return String(process.hrtime.bigint());
}
