/** The nodes of a service that names none: declared, kept when started, found again when the configuration has changed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { runMulti } from '../../src/multi/multi-tool.ts';

class Service {
  readonly path: string;
  declared: readonly string[] | null = [];
  #running: ChildProcess[] = [];

  constructor(t: Test) {
    this.path = t.testdir();
    t.teardown(() => {
      for (const one of this.#running) one.kill('SIGKILL');
    });
  }

  async multi(...words: readonly string[]) {
    let stdout = '';
    const status = await runMulti({
      words: [...words, `--nodes-file=${this.file('run/kept')}`, `--pidfile=${this.file('run/%n.pid')}`, '--logfile=log', '--nosplash'],
      stdout: { write: (text) => (stdout += text) },
      stderr: { write: (text) => (stdout += text) },
      color: false,
      version: '1.2.3',
      hostname: 'box',
      program: { executable: '/bin/true', script: [] },
      declared: () => {
        if (this.declared === null) throw new Error('broken configuration');
        return this.declared;
      },
      files: () => ({ pidfile: '', logfile: '' }),
      folder: () => this.path,
      owner: () => ({ user: null, group: null }),
      known: [],
      env: {},
    });
    return { status, stdout: stdout.replaceAll(/\d{2,}/g, 'PID') };
  }

  /** A process that a node could be. */
  async runs(name: string): Promise<void> {
    const one = spawn('sleep', ['60'], { stdio: 'ignore' });
    this.#running.push(one);
    await once(one, 'spawn');
    mkdirSync(this.file('run'), { recursive: true });
    writeFileSync(this.file(`run/${name}.pid`), `${one.pid}\n`);
    // As a worker does.
    one.once('exit', () => rmSync(this.file(`run/${name}.pid`), { force: true }));
  }

  file(name: string): string {
    return join(this.path, name);
  }

  get kept(): string {
    return readFileSync(this.file('run/kept'), 'utf8');
  }
}

t.test('starts what is declared, or celery, and keeps the names', async (t) => {
  const service = new Service(t);
  t.match(await service.multi('start'), { status: 0, stdout: '\t> celery@box: OK' });
  t.equal(service.kept, 'celery@box\n');
  service.declared = ['w1', 'w2@other'];
  t.match(await service.multi('start'), { status: 0, stdout: /> w1@box: OK\n.*> w2@other: OK/ });
  t.equal(service.kept, 'w1@box\nw2@other\n');
  t.notOk(existsSync(service.file('run/kept.new')));
  await t.rejects(service.multi('stop', 'w1'), { code: 'USAGE', message: /--nodes-file is for commands without names, got w1/ });
});

t.test('what is no longer declared is still seen while it runs, and is stopped', async (t) => {
  const service = new Service(t);
  service.declared = ['w1', 'w2'];
  await service.multi('start');
  await service.runs('w2');
  service.declared = ['w1', 'w3'];
  t.equal((await service.multi('names')).stdout, 'w1@box\nw3@box\nw2@box\n');
  await service.multi('start');
  t.equal(service.kept, 'w1@box\nw3@box\nw2@box\n', 'a start does not forget it');
  const restarted = await service.multi('restart');
  t.equal(restarted.status, 0);
  t.match(restarted.stdout, /> w2@box: TERM -> PID\n(.|\n)*> w2@box: OK\n(.|\n)*Restarting node w1@box: OK\n.*w3@box: OK/);
  t.notMatch(restarted.stdout, /Restarting node w2/);
  t.equal((await service.multi('names')).stdout, 'w1@box\nw3@box\n');
});

t.test('a configuration that is broken starts nothing, and keeps nobody from stopping', async (t) => {
  const service = new Service(t);
  service.declared = ['w1'];
  await service.multi('start');
  await service.runs('w1');
  service.declared = null;
  for (const verb of ['start', 'restart']) await t.rejects(service.multi(verb), /broken configuration/, verb);
  t.equal((await service.multi('expand', '%n')).stdout, 'w1\n');
  t.match(await service.multi('stopwait'), { status: 0, stdout: /> w1@box: TERM -> PID\n(.|\n)*> w1@box: OK/ });
  rmSync(service.file('run/kept'));
  await t.rejects(service.multi('stop'), /broken configuration/, 'nobody knows');
});

t.test('what the user of the workers has written is names, or nothing', async (t) => {
  const service = new Service(t);
  mkdirSync(service.file('run'));
  service.declared = ['w1'];
  writeFileSync(service.file('run/kept'), '../../x@box\n%z@box\nw 2@box\n-rf\n$(id)\n');
  t.equal((await service.multi('names')).stdout, 'w1@box\n');
  t.match((await service.multi('stop')).stdout, '> w1@box: DOWN');
  writeFileSync(service.file('file'), '');
  rmSync(service.file('run'), { recursive: true });
  mkdirSync(service.file('run/kept'), { recursive: true });
  await t.rejects(service.multi('start'), { code: 'FILE_CANNOT_CREATE', message: /started nodes must be writable, got .*run\/kept/ });
});
