/** A BullMQ worker with a no-op: in this process, or in processes of its own. Usage: bullmq-worker.ts <port> in-process|sandboxed */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'bullmq';

const [port, mode] = process.argv.slice(2);
const connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null };
const folder = process.env.UMBEL_BENCH_RECORDS ?? '';
const seen = new Uint8Array(Number(process.env.UMBEL_BENCH_TASKS ?? 0));
let firstAtNs = 0n;

async function noop(job: { readonly data: { readonly number: number } }): Promise<null> {
  if (firstAtNs === 0n) firstAtNs = process.hrtime.bigint();
  seen[job.data.number] = (seen[job.data.number] ?? 0) + 1;
  return null;
}

const worker =
  mode === 'sandboxed'
    ? new Worker('bench', join(import.meta.dirname, 'bullmq-processor.ts'), { connection, concurrency: 2 })
    : new Worker('bench', noop, { connection, concurrency: 100 });
worker.on('error', (error) => console.error(error.message));

process.once('SIGTERM', () => {
  void worker.close().then(() => {
    if (mode !== 'sandboxed') {
      writeFileSync(join(folder, `${process.pid}.seen`), seen);
      writeFileSync(join(folder, `${process.pid}.first`), String(firstAtNs));
    }
    process.exit(0);
  });
});
