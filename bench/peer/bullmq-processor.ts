/** The no-op processor that BullMQ runs in processes of its own. Marks each job in a file, since BullMQ ends these processes its own way. */
import { openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const folder = process.env.UMBEL_BENCH_RECORDS ?? '';
const seen = new Uint8Array(Number(process.env.UMBEL_BENCH_TASKS ?? 0));
let file = -1;

export default async function noop(job: { readonly data: { readonly number: number } }): Promise<null> {
  if (file === -1) {
    writeFileSync(join(folder, `${process.pid}.first`), String(process.hrtime.bigint()));
    writeFileSync(join(folder, `${process.pid}.seen`), seen);
    file = openSync(join(folder, `${process.pid}.seen`), 'r+');
  }
  const { number } = job.data;
  seen[number] = (seen[number] ?? 0) + 1;
  writeSync(file, seen, number, 1, number);
  return null;
}
