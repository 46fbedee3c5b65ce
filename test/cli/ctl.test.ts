/** `umbel ctl`: which commands it knows and what it says of them; what is wrong is said before anybody is asked. A worker that answers: live/. */
import { linkSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { controlCommands } from '../../src/control/control-commands.ts';
import { Panel } from '../../src/control/panel.ts';
import { LineServer } from '../../src/driver/line-server.ts';
import { localControl } from '../../src/node/local-control.ts';
import { FakeSurface } from '../control/fake-surface.ts';
import { RecordingLog } from '../driver/recording-log.ts';
import { runInMemory } from './run-in-memory.ts';

const commands = `
import { controlCommand, inspectCommand } from 'umbel';
export const current_level = inspectCommand({ help: 'The level now.' }, () => 0);
export const raise_level = controlCommand(
  { args: [{ name: 'n', default: 1, type: 'integer' }], signature: '[N=1]', help: 'Raise the level.' },
  () => ({ ok: 'raised' }),
);
`;

t.test('umbel ctl', async (t) => {
  const cwd = mkdtempSync(join(tmpdir(), 'umbel-ctl-'));
  t.teardown(() => rmSync(cwd, { recursive: true }));
  const modules = join(cwd, 'commands.mjs');
  writeFileSync(modules, commands);
  const ctl = (...words: string[]) =>
    runInMemory(['ctl', '--socket', join(cwd, 'nobody.sock'), ...words], { cwd, env: { UMBEL_WORKER_CONTROL_MODULES: modules } });

  await t.test('help has the commands of this machine, those of Celery and those of the operator', async (t) => {
    const { stdout, status } = await ctl('--help');
    t.equal(status, 0);
    for (const text of [
      'why\n',
      'dump\n',
      'debug <index> [close]\n',
      'active [true]\n',
      'pool_grow [n]\n',
      'raise_level [N=1]\n',
      'current_level\n',
    ])
      t.match(stdout, `  ${text}`);
    t.match(stdout, 'Raise the level.');
    t.notMatch(stdout, '  hello', 'what is between workers is not shown');
    const plain = await runInMemory(['ctl', '--help'], { cwd });
    t.notMatch(plain.stdout, 'raise_level', 'where they are configured');
  });

  await t.test('what is wrong', async (t) => {
    t.match(await ctl('wyh'), { status: 64, stderr: /got "wyh"; did you mean why\?/ });
    t.match(await ctl('why', 'not'), { status: 64, stderr: /usage: umbel ctl why: got "not" too much/ });
    t.match(await ctl('debug', 'one'), {
      status: 64,
      stderr: /usage: umbel ctl debug <index> \[close\]: index must be a whole number, got "one"/,
    });
    t.match(await ctl('raise_level', 'much'), { status: 64, stderr: /n must be a whole number/ });
    t.match(await ctl('why', '-n', 'a b'), { status: 64, stderr: /must not contain spaces .*\[NAME_INVALID\]/ });
    t.match(await ctl('why'), { status: 69, stderr: /\[LOCAL_UNREACHABLE\]/ });
  });

  await t.test('the worker of the configuration, where there are several', async (t) => {
    const run = join(cwd, 'run');
    mkdirSync(run);
    for (const node of ['shop@here', 'mail@here']) await listen(t, join(run, `${node}.sock`), node);
    await listen(t, join(cwd, 'of-its-own.sock'), 'its-own@here');
    const why = async (toml: string, ...words: string[]) => {
      writeFileSync(join(cwd, 'umbel.toml'), toml);
      return runInMemory(['ctl', 'why', ...words], { cwd, env: { RUNTIME_DIRECTORY: run } });
    };
    t.match(await why(''), { status: 64, stderr: /which worker\? Name it with -n: mail@here, shop@here/ });
    t.match(await why('[worker]\nhostname = "shop@here"\n'), { status: 0, stdout: 'shop@here\n' });
    t.match(await why('[worker]\nhostname = "shop@here"\n', '-n', 'mail@here'), { status: 0, stdout: 'mail@here\n' });
    const gone = { status: 69, stdout: '', stderr: /no worker answers on \S+gone@here\.sock; with -n there are mail@here, shop@here/ };
    t.match(await why('[worker]\nhostname = "gone@here"\n'), gone, 'no other one in its place');
    t.match(await why('[worker]\ncontrol_socket = "gone.sock"\n'), { status: 69, stderr: /gone\.sock; with -n/ });
    await listen(t, join(run, `mail@${hostname()}.sock`), `mail@${hostname()}`);
    t.match(await why('', '-n', 'mail@%h'), { status: 0, stdout: `mail@${hostname()}\n` });
    t.match(await why('[worker]\nconcurency = 1\n', '-n', 'mail@here'), { status: 0, stdout: 'mail@here\n' }, 'a wrong file is no reason');
    t.match(await why('[worker]\ncontrol_socket = "of-%n.sock"\n', '-n', 'its-own@here'), { status: 0, stdout: 'its-own@here\n' });
  });

  await t.test('a worker that is not the one it names is told so, and does nothing', async (t) => {
    const surface = new FakeSurface('one@here');
    const path = join(cwd, 'one.sock');
    const socket = localControl({ path, panel: new Panel(controlCommands), surface: surface as never, log: new RecordingLog() });
    await socket.start();
    t.teardown(() => socket.stop());
    const grow = (...words: string[]) => runInMemory(['ctl', '--socket', path, 'pool_grow', ...words], { cwd });
    t.match(await grow('-n', 'other@here'), {
      status: 69,
      stdout: '',
      stderr: /must be that of other@here, got that of one@here \[LOCAL_UN/,
    });
    t.match(await grow('-n', 'one'), { status: 69 }, 'that is celery@one');
    t.same(surface.done, []);
    for (const words of [['-n', 'one@here'], []]) t.match(await grow(...words), { status: 0, stdout: /pool will grow/ });
    t.equal(surface.done.length, 2);
  });

  await t.test('sockets that killed workers have left are no workers', async (t) => {
    const run = join(cwd, 'left');
    mkdirSync(run);
    const why = () => runInMemory(['ctl', 'why'], { cwd: run, env: { RUNTIME_DIRECTORY: run } });
    for (const node of ['killed@here', 'also@here']) await leave(join(run, `${node}.sock`));
    t.match(await why(), { status: 69, stderr: /no worker has a socket in .*left/ });
    await listen(t, join(run, 'shop@here.sock'), 'shop@here');
    t.match(await why(), { status: 0, stdout: 'shop@here\n' });
    await listen(t, join(run, 'mail@here.sock'), 'mail@here');
    t.match(await why(), { status: 64, stderr: /which worker\? Name it with -n: mail@here, shop@here/ });
  });

  await t.test('a configuration that is broken today keeps nobody from asking', async (t) => {
    const broken = { UMBEL_WORKER_CONCURRENCY: 'many' };
    const asked = (...words: string[]) => runInMemory(['ctl', '--socket', join(cwd, 'nobody.sock'), ...words], { cwd, env: broken });
    for (const name of ['why', 'active', 'stats', 'pool_grow']) t.match(await asked(name), { status: 69, stderr: /\[LOCAL_UNREACHABLE\]/ });
    t.match(await asked('raise_level'), { status: 78 }, 'only what is in a module of the configuration');
  });
});

/** What a worker that is killed leaves: a socket on which nobody listens. */
async function leave(path: string): Promise<void> {
  const server = new LineServer({ path: `${path}.first`, answer: () => Promise.resolve('') });
  await server.start();
  linkSync(`${path}.first`, path);
  await server.stop();
}

/** A worker that says its name to whatever it is asked. */
async function listen(t: Test, path: string, node: string): Promise<void> {
  const server = new LineServer({ path, answer: () => Promise.resolve(JSON.stringify({ node, value: { ok: node } })) });
  await server.start();
  t.teardown(() => server.stop());
}
