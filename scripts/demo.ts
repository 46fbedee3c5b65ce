/**
 * `make demo`: the whole program at work. A worker on an embedded broker in a temporary folder runs examples/words.ts over every text
 * file below some folders: one task per file, then one task that merges their counts.
 *
 * Usage: node scripts/demo.ts [folder …], default docs src. The worker is an ordinary dist/umbel; kill any of its children while it
 * runs: no number changes, which the demo proves by counting once more without a worker. Exits 0 when both agree.
 */
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { countFile, type FileCount, type MergedCount, mergeCounts } from '../examples/words.ts';
import { App, taskHandle } from '../src/client/umbel.ts';
import { WorkerProcess } from './worker-process.ts';

const root = resolve(import.meta.dirname, '..');
const folders = process.argv.length > 2 ? process.argv.slice(2) : ['docs', 'src'];
const topWords = 12;
const resultTimeoutMs = 120_000;

/** The members of the worker's closing line. */
type WorkerStatistics = Readonly<Record<'received' | 'succeeded' | 'failed' | 'retried' | 'rejected' | 'lost', number>>;

/** What the worker's log lines have told so far. */
class Observed {
  childrenLost = 0;
  runtimeSeconds = 0;
  statistics: WorkerStatistics | null = null;

  line(line: string): void {
    if (!line.startsWith('{')) {
      if (line !== '') process.stderr.write(`  | ${line}\n`);
      return;
    }
    const record = JSON.parse(line) as {
      readonly event: string;
      readonly level: string;
      readonly message: string;
      readonly runtime?: number;
    };
    if (record.event === 'task.succeeded') this.runtimeSeconds += record.runtime ?? 0;
    else if (record.event === 'child.lost') this.childrenLost += 1;
    else if (record.event === 'worker.stopped') this.statistics = record as unknown as WorkerStatistics;
    if (record.level !== 'info' && record.level !== 'debug') process.stderr.write(`  | ${record.message}\n`);
  }
}

/** A file without a NUL byte at its beginning. */
function isText(path: string): boolean {
  return !readFileSync(path).subarray(0, 8_192).includes(0);
}

function listTextFiles(): string[] {
  const files: string[] = [];
  for (const folder of folders) {
    const absolute = resolve(folder);
    if (!statSync(absolute, { throwIfNoEntry: false })?.isDirectory()) throw new Error(`the demo reads folders, got ${folder}`);
    for (const entry of readdirSync(absolute, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile() && !path.includes('/node_modules/') && !path.includes('/.git/') && isText(path)) files.push(path);
    }
  }
  if (files.length === 0) throw new Error(`no text file below ${folders.join(', ')}`);
  return files.sort();
}

/** One line that is rewritten on a terminal; elsewhere a line for every quarter. */
function createProgress(total: number): () => void {
  let done = 0;
  let quarter = 0;
  return () => {
    done += 1;
    if (process.stderr.isTTY) process.stderr.write(`\r  ${done} of ${total} files counted${done === total ? '\n' : ''}`);
    else if (Math.floor((done * 4) / total) > quarter) {
      quarter = Math.floor((done * 4) / total);
      process.stderr.write(`  ${done} of ${total} files counted\n`);
    }
  };
}

/** Every count and their merger, each by a task. */
async function countWithWorker(files: readonly string[]): Promise<MergedCount> {
  const progress = createProgress(files.length);
  const count = taskHandle<[string], FileCount>('examples.words.countFile');
  const merge = taskHandle<[readonly FileCount[], number], MergedCount>('examples.words.mergeCounts');
  const counts = await Promise.all(
    files.map(async (file) => {
      const result = await count.delay(file);
      const counted = await result.get({ timeoutMs: resultTimeoutMs });
      progress();
      return counted;
    }),
  );
  const merged = await merge.delay(counts, topWords);
  return merged.get({ timeoutMs: resultTimeoutMs });
}

function printCount(merged: MergedCount): void {
  const number = (value: number): string => value.toLocaleString('en-US');
  console.log(
    `\n${number(merged.words)} words, ${number(merged.differentWords)} different ones, in ${number(merged.lines)} lines of ${merged.files} files`,
  );
  const widest = Math.max(...merged.top.map(([word]) => word.length));
  const most = merged.top[0]?.[1] ?? 1;
  for (const [word, times] of merged.top) {
    console.log(`  ${word.padEnd(widest)} ${number(times).padStart(7)} ${'#'.repeat(Math.max(1, Math.round((40 * times) / most)))}`);
  }
}

async function demo(folder: string): Promise<boolean> {
  const files = listTextFiles();
  const url = `sqlite:///${join(folder, 'umbel.db')}`;
  const observed = new Observed();
  const worker = new WorkerProcess({
    command: join(root, 'dist/umbel'),
    args: ['worker', '-A', join(root, 'examples'), '-b', url, '-n', 'demo@%h', '-l', 'info', '--log-format', 'json'],
    cwd: folder,
    isReady: (line) => line.includes('"worker.ready"'),
    onLine: (line) => observed.line(line),
  });
  const readyMs = await worker.ready;
  console.log(`worker ${worker.pid} with children ${worker.children().join(', ')} ready after ${Math.round(readyMs)} ms, on ${url}`);
  const app = new App({ broker: url });
  await app.start();
  let merged: MergedCount;
  const startedAtMs = performance.now();
  try {
    merged = await countWithWorker(files);
  } finally {
    await app.stop();
  }
  const seconds = (performance.now() - startedAtMs) / 1_000;
  printCount(merged);
  const exit = await worker.stop();
  printStatistics(observed, files.length + 1, seconds);
  const direct = await mergeCounts(await Promise.all(files.map((file) => countFile(file))), topWords);
  const same = isDeepStrictEqual(merged, direct);
  console.log(`counted again without a worker: ${same ? 'the same' : `DIFFERENT: ${JSON.stringify(direct)}`}`);
  if (exit.code !== 0) console.log(`the worker must end with status 0, got ${exit.signal ?? exit.code}`);
  return same && exit.code === 0;
}

function printStatistics(observed: Observed, sent: number, seconds: number): void {
  console.log(
    `\n${sent} tasks sent, done in ${seconds.toFixed(2)} s; ${observed.runtimeSeconds.toFixed(2)} s inside tasks; children lost and replaced: ${observed.childrenLost}`,
  );
  if (observed.statistics === null) throw new Error('the worker must report its statistics when it stops, but said nothing');
  const { received, succeeded, failed, retried, rejected, lost } = observed.statistics;
  console.log(
    `worker: ${received} received, ${succeeded} succeeded, ${failed} failed, ${retried} retried, ${rejected} given back, ${lost} put back because their child died; stopped warmly`,
  );
}

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'umbel-demo-')));
try {
  console.log(`counting the words below ${folders.map((name) => relative(process.cwd(), resolve(name)) || '.').join(', ')}`);
  process.exitCode = (await demo(folder)) ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
