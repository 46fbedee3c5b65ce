/** `umbel report`: what it tells, and what it hides. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { version } from '../../src/std/version.ts';
import { runInMemory } from './run-in-memory.ts';

function folderWith(t: Test, toml: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'umbel-report-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'umbel.toml'), toml);
  return folder;
}

const toml = `
[broker]
url = "redis://me:sesame@cache.example:6379/1"
[result]
backend = "redis://:sesame@cache.example/2"
[worker]
concurrency = 3
[redis]
password = "sesame"
`;

t.test('versions, the machine, the transport and the settings, without passwords', async (t) => {
  const cwd = folderWith(t, toml);
  const { status, stdout } = await runInMemory(['report'], { cwd });
  t.equal(status, 0);
  t.match(stdout, `software -> umbel:${version()} node:${process.versions.node} v8:${process.versions.v8} sqlite:`);
  t.match(stdout, `platform -> system:${process.platform} arch:${process.arch}`);
  t.match(stdout, `config   -> ${join(cwd, 'umbel.toml')}`);
  t.match(stdout, 'settings -> transport:redis://me:**@cache.example:6379/1 results:redis://:**@cache.example/2');
  t.match(stdout, 'worker_concurrency: 3');
  t.notMatch(stdout, 'sesame');
  t.notMatch(stdout, 'task_track_started', 'defaults are not told');
});

t.test('as JSON', async (t) => {
  const cwd = folderWith(t, toml);
  const { stdout } = await runInMemory(['report', '-j'], { cwd });
  t.notMatch(stdout, 'sesame');
  t.match(JSON.parse(stdout), {
    software: { umbel: version(), node: process.versions.node, form: 'sources' },
    platform: { system: process.platform, cpus: Number, memory_bytes: Number },
    config_file: join(cwd, 'umbel.toml'),
    config_problem: null,
    transport: 'redis://me:**@cache.example:6379/1',
    settings: { worker_concurrency: 3 },
  });
});

t.test('a configuration that cannot be read is what is reported', async (t) => {
  const cwd = folderWith(t, '[worker]\nconcurrency = "many"\n');
  const { status, stdout } = await runInMemory(['report'], { cwd });
  t.equal(status, 0);
  t.match(stdout, /config {3}-> it cannot be read: .*worker\.concurrency must be/);
  t.match(stdout, 'software -> umbel:');
});

t.test('where results are kept without a setting: in the file of the embedded broker, nowhere beside a server', async (t) => {
  const places = [
    ['sqlite:////srv/shop/umbel.db', 'sqlite:////srv/shop/umbel.db'],
    ['memory://', 'memory://'],
    ['amqp://mq.example//', 'disabled'],
  ] as const;
  for (const [url, results] of places) {
    const cwd = folderWith(t, `[broker]\nurl = "${url}"\n`);
    t.match((await runInMemory(['report'], { cwd })).stdout, `settings -> transport:${url} results:${results}\n`);
    t.match(JSON.parse((await runInMemory(['report', '-j'], { cwd })).stdout), { transport: url, results });
  }
});

t.test('without a file', async (t) => {
  const cwd = folderWith(t, '');
  rmSync(join(cwd, 'umbel.toml'));
  const { stdout } = await runInMemory(['report'], { cwd });
  t.match(stdout, /config {3}-> no file\nsettings -> transport:embedded results:embedded\n/);
});
