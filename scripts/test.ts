/**
 * `make test`: every check, then every test: `node scripts/test.ts [test file or glob …]` (with arguments: only those tests).
 *
 * Ends with what has failed, in short, and one line, `N passed, M failed`, over all checks and all assertions of all test files, also written to
 * .tap/run/summary, and exits 1 when anything failed, a test file did not report, or nothing ran.
 * Owns the RabbitMQ server that the tests of a run share, which starts while the checks run and ends with the run, however that ends. Every other server
 * is a test's own.
 */
import { spawn } from 'node:child_process';
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { RabbitmqServer } from '../test/rabbitmq-server.ts';
import { environmentOf } from '../test/rabbitmq-vhost.ts';
import { type Counts, TapSummary } from './tap-summary.ts';
import { installTestPeers } from './test-peers.ts';

const root = resolve(import.meta.dirname, '..');
const runFolder = join(root, '.tap/run');
/** For one test file; the live tests with thousands of kills are the longest. */
const fileTimeoutSeconds = 300;
/** At a time. Most of the long ones wait for something nearly all the time. */
const jobs = availableParallelism() + 1;

process.chdir(root);
rmSync(runFolder, { recursive: true, force: true });
mkdirSync(runFolder, { recursive: true });

function make(target: string): Promise<boolean> {
  const child = spawn('make', [target], { stdio: ['ignore', 'inherit', 'inherit'] });
  return new Promise((done) => {
    child.on('error', () => done(false));
    child.on('exit', (code) => done(code === 0));
  });
}

/** What a file says that takes a virtual host, itself or by the helper of the live tests. */
const vhostUsers = /RabbitmqVhost\.open\(|live-broker\.ts/;

/** What ends with the run. */
const teardowns: (() => unknown)[] = [];

/** In the environment of every test, if one of these files wants a virtual host; without a server such a test starts its own, and says what is wrong with it. */
async function sharedServers(files: readonly string[]): Promise<Readonly<Record<string, string>>> {
  if (!files.some((file) => vhostUsers.test(readFileSync(file, 'utf8')))) return {};
  const owner = { teardown: (handler: () => unknown) => void teardowns.unshift(handler) };
  return RabbitmqServer.start(owner).then(environmentOf, (error: unknown) => {
    console.log(`there is no RabbitMQ server for the run: ${String(error)}`);
    return {};
  });
}

/** Said again at the end. */
const failedChecks: string[] = [];

/** Each check counts as one; all of them run, whatever the first ones say. The executable is built meanwhile: it takes as long as all the others. */
async function runChecks(): Promise<Counts> {
  const counts = { passed: 0, failed: 0 };
  const counted = (target: string, done: boolean): void => {
    if (done) counts.passed += 1;
    else {
      counts.failed += 1;
      failedChecks.push(`not ok - make ${target}`);
      console.log(failedChecks.at(-1));
    }
  };
  const built = make('bin');
  for (const target of ['check-types', 'check-style', 'check-imports', 'check-files', 'check-docs']) counted(target, await make(target));
  counted('bin', await built);
  return counts;
}

async function runTap(files: readonly string[], env: Readonly<Record<string, string>>): Promise<Counts> {
  const summary = new TapSummary(files, (line) => console.log(line));
  const args = ['run', '--disable-coverage', '--reporter=tap', `--jobs=${jobs}`, `--timeout=${fileTimeoutSeconds}`];
  const tap = spawn('tap', [...args, ...files], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env, NODE_COMPILE_CACHE: join(runFolder, 'compile-cache') },
  });
  const ended = new Promise<number | null>((done, fail) => {
    tap.on('error', fail);
    tap.on('close', (status) => done(status));
  });
  for await (const line of createInterface({ input: tap.stdout })) summary.line(line);
  return summary.end(await ended);
}

const wanted = process.argv.slice(2);
const files = globSync(wanted.length > 0 ? wanted : 'test/**/*.test.ts').toSorted();
const total = { passed: 0, failed: 0 };
if (wanted.length === 0) installTestPeers();
const servers = sharedServers(files);
if (wanted.length === 0) {
  const checks = await runChecks();
  total.passed += checks.passed;
  total.failed += checks.failed;
} else if (!(await make('bin'))) total.failed += 1;
if (files.length === 0) {
  console.log(`not ok - no test file matches ${wanted.join(' ') || 'test/**/*.test.ts'}`);
  total.failed += 1;
} else {
  const tests = await runTap(files, await servers);
  total.passed += tests.passed;
  total.failed += tests.failed;
}
for (const teardown of teardowns) await teardown();
for (const line of failedChecks) console.log(line);
const summary = `${total.passed} passed, ${total.failed} failed`;
writeFileSync(join(runFolder, 'summary'), `${summary}\n`);
console.log(summary);
process.exitCode = total.failed > 0 ? 1 : 0;
