/** The units are what systemd takes without a word; umbel-multi turns variables into the command line of `umbel multi`. */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { readEnvironment } from '../../src/config/read-environment.ts';
import { StandIn } from './stand-in.ts';

const folder = resolve(import.meta.dirname, '../../systemd');

/** A root of its own, so that the test does not depend on what is installed here. */
function stagedRoot(root: string): (unit: string, text: string) => void {
  const put = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
    chmodSync(join(root, path), text.startsWith('#!') ? 0o755 : 0o644);
  };
  for (const target of ['sysinit', 'basic', 'shutdown', 'multi-user', 'network-online'])
    put(`usr/lib/systemd/system/${target}.target`, '[Unit]\n');
  for (const program of ['usr/bin/umbel', 'usr/lib/umbel/umbel-multi', 'bin/kill']) put(program, '#!/bin/sh\n');
  return (unit, text) => put(`etc/systemd/system/${unit}`, text);
}

function verify(root: string, unit: string) {
  return spawnSync('systemd-analyze', ['verify', '--man=no', `--root=${root}`, unit], { encoding: 'utf8' });
}

const withoutSystemd = spawnSync('systemd-analyze', ['--version']).error === undefined ? false : 'systemd-analyze is not here';

for (const [file, unit] of [
  ['umbel.service', 'umbel.service'],
  ['umbel@.service', 'umbel@mail.service'],
] as const) {
  t.test(`systemd-analyze verify passes on ${file}`, { skip: withoutSystemd }, async (t) => {
    const root = t.testdir();
    const put = stagedRoot(root);
    const text = readFileSync(join(folder, file), 'utf8');
    put(file, text);
    const verified = verify(root, unit);
    t.equal(verified.stderr, '');
    t.equal(verified.status, 0);
    put(file, text.replace('KillMode=mixed', 'KillMode=mixt'));
    t.match(verify(root, unit).stderr, /kill mode/, 'and it looks');
  });
}

function umbelMulti(t: Test, verb: string, env: Record<string, string>) {
  const path = t.testdir();
  const standIn = new StandIn(path);
  const pidFile = join(path, '%n.pid');
  const run = spawnSync(join(folder, 'umbel-multi'), [verb], {
    encoding: 'utf8',
    cwd: path,
    env: { PATH: process.env.PATH, UMBEL_BIN: standIn.path, UMBEL_PID_FILE: pidFile, ...env, STAND_IN_STATUS: '7' },
  });
  spawnSync(standIn.path, ['multi', 'kill', 'celery', 'w1', 'w2', `--pidfile=${pidFile}`]);
  const words = [...(standIn.calls()[0] ?? '').matchAll(/\[(.*?)\](?= \[|$)/g)].map(([, word]) => word?.replace(path, '.'));
  t.equal(run.stderr, '');
  t.equal(run.status, 7, 'the status is that of umbel');
  return words;
}

t.test('umbel-multi: defaults', async (t) => {
  const files = ['--logfile=/var/log/umbel/%n%I.log', '--loglevel=info'];
  const pidfile = '--pidfile=./%n.pid';
  const kept = (folder: string) => `--nodes-file=${folder}/umbel.nodes`;
  t.same(umbelMulti(t, 'start', {}), ['multi', 'start', ...files, kept('/run/umbel'), pidfile], 'nodes are those of the configuration');
  t.same(umbelMulti(t, 'stopwait', { UMBEL_OPTS: '--nonsense' }), ['multi', 'stopwait', kept('/run/umbel'), pidfile]);
  t.same(umbelMulti(t, 'stopwait', { RUNTIME_DIRECTORY: '/run/mine:/run/more' }), ['multi', 'stopwait', kept('/run/mine'), pidfile]);
});

t.test('umbel-multi: the names of the guide, Celery’s names, quotes, and who is stronger', async (t) => {
  const env = {
    UMBEL_NODES: 'w1 w2',
    CELERYD_NODES: 'not these',
    CELERYD_OPTS: "-c:w1 3 -Q 'a b'",
    UMBEL_APP: '/srv/a b/tasks.ts',
    UMBEL_CHDIR: '/srv',
    CELERYD_LOG_LEVEL: 'debug',
    UMBELD_LOG_FILE: 'x.log',
  };
  const start = ['w1', 'w2', '-c:w1', '3', '-Q', 'a b', '--logfile=x.log', '--loglevel=debug', '--workdir=/srv', '--app=/srv/a b/tasks.ts'];
  t.same(umbelMulti(t, 'restart', env), ['multi', 'restart', ...start, '--pidfile=./%n.pid']);
  const level = (given: Record<string, string>) => umbelMulti(t, 'start', given).find((word) => word?.startsWith('--loglevel='));
  t.equal(level({ CELERYD_LOGLEVEL: 'warning' }), '--loglevel=warning', 'as init scripts of Celery have it');
  t.equal(level({ CELERYD_LOGLEVEL: 'warning', UMBEL_LOG_LEVEL: 'error' }), '--loglevel=error');
  t.same(umbelMulti(t, 'stopwait', env), ['multi', 'stopwait', 'w1', 'w2', '--pidfile=./%n.pid']);
});

t.test('umbel-multi: a verb is needed', async (t) => {
  const run = spawnSync(join(folder, 'umbel-multi'), [], { encoding: 'utf8' });
  t.not(run.status, 0);
  t.match(run.stderr, /needs start, stopwait or restart/);
});

t.test(
  'the example of variables is a shell script and one systemd can read, and no variable is taken for a misspelt setting',
  async (t) => {
    const copy = join(t.testdir(), 'umbeld');
    copyFileSync(join(folder, 'umbeld.default'), copy);
    t.equal(spawnSync('sh', ['-n', copy]).status, 0);
    const variables = [...readFileSync(copy, 'utf8').matchAll(/^#?([A-Z_]+)=(.*)$/gm)];
    t.ok(variables.length > 10);
    for (const [, name = '', value = ''] of variables) {
      t.match(value, /^("[^"$`\\]*"|\d+)$/, name);
      t.same(readEnvironment({ [name]: value, [name.replace('UMBEL_', 'UMBELD_')]: value }, () => false).problems, [], name);
    }
  },
);
