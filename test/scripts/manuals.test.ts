/** Manual pages and completions name every command, every option and every word, and the tools that read them take them. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { commandWords, valueChoices } from '../../scripts/command-words.ts';
import { exitStatus } from '../../src/errors.ts';

const folder = t.testdir();
execFileSync(process.execPath, [resolve(import.meta.dirname, '../../scripts/write-manuals.ts'), folder], {
  env: { ...process.env, SOURCE_DATE_EPOCH: '1700000000' },
});
const commands = await commandWords();
const read = (name: string) => readFileSync(join(folder, name), 'utf8');
const has = (program: string) => spawnSync(program, ['--version']).error === undefined;

t.test('words that can follow a command are found in its help', async (t) => {
  const words = (name: string) => commands.find((one) => one.name === name)?.words ?? [];
  t.same(words('config'), ['check', 'show', 'example', 'path']);
  t.same(words('dead'), ['list', 'show', 'retry', 'purge']);
  t.same(words('multi'), ['start', 'stop', 'stopwait', 'restart', 'kill', 'show', 'get', 'names', 'expand', 'help']);
  for (const word of ['ping', 'active', 'query_task', 'stats']) t.ok(words('inspect').includes(word), word);
  for (const word of ['revoke', 'rate_limit', 'shutdown']) t.ok(words('control').includes(word), word);
  t.same(words('worker'), []);
  t.ok(words('help').includes('worker'));
});

t.test('every option has its place in the manual, and is offered by all three shells', async (t) => {
  const [bash, zsh, fish] = [read('completion/umbel.bash'), read('completion/_umbel'), read('completion/umbel.fish')];
  for (const { name, command, options } of commands) {
    t.match(read('man1/umbel.1'), `umbel\\-${name} `);
    const page = read(`man1/umbel-${name}.1`);
    const bashLine = bash.split('\n').find((line) => line.startsWith(`    ${name}) words=`)) ?? '';
    for (const option of options.flatMap(({ names }) => names)) {
      if (command.help === undefined) t.ok(page.includes(`\\fB${option.replaceAll('-', '\\-')}\\fR`), `${name} ${option}`);
      t.ok(
        bashLine
          .match(/options='(.*)'/)?.[1]
          ?.split(' ')
          .includes(option),
        `bash: ${name} ${option}`,
      );
      t.ok(zsh.includes(`)${option}`) || zsh.includes(`*${option}`), `zsh: ${option}`);
      t.ok(fish.includes(option.startsWith('--') ? ` -l ${option.slice(2)} ` : ` -s ${option.slice(1)} `), `fish: ${option}`);
    }
  }
});

t.test('exit statuses of the manual are those of the program', async (t) => {
  const text = /EXIT STATUS"\n(.*)/.exec(read('man1/umbel.1'))?.[1] ?? '';
  const named = [...text.matchAll(/\b(\d+) ?[a-z:]/g)].map(([, status]) => Number(status));
  t.ok(named.length > 5);
  for (const status of named) t.ok(Object.values<number>(exitStatus).includes(status), String(status));
});

for (const [program, ...args] of [
  ['groff', '-man', '-ww', '-z'],
  ['mandoc', '-T', 'lint', '-W', 'warning'],
] as const) {
  t.test(`${program} reads every page without a warning`, { skip: has(program) ? false : `${program} is not here` }, async (t) => {
    for (const name of readdirSync(join(folder, 'man1'))) {
      const run = spawnSync(program, [...args, join(folder, 'man1', name)], { encoding: 'utf8' });
      t.same({ status: run.status, said: run.stdout + run.stderr }, { status: 0, said: '' }, name);
    }
  });
}

t.test('no letter of another alphabet and no line that is a request by accident', async (t) => {
  const known = ['TH', 'nh', 'ad l', 'SH', 'TP', 'PP', 'B', 'BI', 'BR', 'I', 'nf', 'fi'];
  for (const name of readdirSync(join(folder, 'man1'))) {
    const text = read(join('man1', name));
    t.notMatch(text, /[^\n -~]/, name);
    for (const line of text.split('\n').filter((one) => /^[.']/.test(one))) {
      t.ok(
        known.some((request) => line === `.${request}` || line.startsWith(`.${request} `)),
        line,
      );
    }
  }
});

/** What bash offers for the last of these words. */
function offered(...words: string[]): string[] {
  const script = `. ${join(folder, 'completion/umbel.bash')}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _umbel; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const run = spawnSync('bash', ['--norc', '-c', script, 'bash', 'umbel', ...words], { encoding: 'utf8', cwd: folder });
  if (run.stderr !== '') throw new Error(run.stderr);
  return run.stdout.split('\n').filter((word) => word !== '');
}

t.test('bash offers what fits', async (t) => {
  mkdirSync(join(folder, 'files'));
  writeFileSync(join(folder, 'tasks.ts'), '');
  t.same(offered('wor'), ['worker']);
  t.ok(offered('').includes('multi'));
  t.same(offered('config', 'sh'), ['show']);
  t.same(offered('config', 'show', 'ex'), [], 'one action only');
  t.same(offered('worker', '--concur'), ['--concurrency']);
  t.same(offered('multi', 'restart', '--roll'), ['--rolling']);
  t.same(offered('multi', 'start', 'w1', '--pidf'), ['--pidfile']);
  t.same(offered('multi', 'start', 'w1', '--logfile', '=', 'tas'), ['tasks.ts']);
  t.same(offered('worker', '-P', 't'), ['threads']);
  t.same(offered('worker', '--pool', '=', 't'), ['threads']);
  t.same(offered('worker', '--pool', '='), valueChoices(commands[0]!.options.find(({ names }) => names.includes('-P'))!));
  t.same(offered('worker', '-c', ''), []);
  t.same(offered('-A', 'tasks.ts', 'worker', '-A', 'tas'), ['tasks.ts']);
  t.same(offered('--app', '=', 'config', 'inspect', 'pi'), ['ping'], 'a value is not taken for the command');
  t.same(offered('-A', 'worker', 'config', 'sh'), ['show']);
  t.ok(offered('-').includes('--config'));
});

/** What zsh offers for the last word of a line, in a terminal of its own: it completes nowhere else. */
const zshScript = `zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1= PS2= RPS1=; unsetopt zle_bracketed_paste; fpath=($1 \\$fpath); autoload -Uz compinit; compinit -D -u"
zpty -w z 'compadd() {
  if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]]; then builtin compadd "$@"; return; fi
  typeset -a hits; builtin compadd -A hits "$@"
  (( $#hits )) && print -rl -- "<\${(@)^hits}>"
  builtin compadd "$@"
}
offer() { print; _main_complete; print "<e""nd>" }
zle -C offer list-choices offer; bindkey "^I" offer; print "<rea""dy>"'
zpty -r z line '*<ready>*'
zpty -w -n z "$2"$'\\t'
zpty -r z line '*<end>*'
print -r -- $line
zpty -d z
`;

function offeredByZsh(line: string): string[] {
  const env = { ...process.env, TERM: 'dumb', HOME: folder };
  const run = spawnSync('zsh', ['-f', '-c', zshScript, 'zsh', join(folder, 'completion'), line], {
    encoding: 'utf8',
    env,
    timeout: 60_000,
  });
  if (run.status !== 0) throw new Error(`zsh ended with ${run.signal ?? run.status}: ${run.stdout}${run.stderr}`);
  return [...run.stdout.matchAll(/<([^<>]+)>/g)].map(([, word]) => String(word)).filter((word) => word !== 'ready' && word !== 'end');
}

function offeredByFish(line: string): string[] {
  const script = `source ${join(folder, 'completion/umbel.fish')}; complete -C $argv[1]`;
  const env = { ...process.env, HOME: folder };
  const run = spawnSync('fish', ['--no-config', '-c', script, line], { encoding: 'utf8', env });
  if (run.status !== 0 || run.stderr !== '') throw new Error(`fish ended with ${run.status}: ${run.stderr}`);
  return run.stdout.split('\n').flatMap((found) => (found === '' ? [] : [String(found.split('\t')[0])]));
}

for (const [shell, offers] of [
  ['zsh', offeredByZsh],
  ['fish', offeredByFish],
] as const) {
  t.test(`${shell} loads it and offers what fits`, { skip: has(shell) ? false : `${shell} is not here` }, async (t) => {
    t.same(offers('umbel wor'), ['worker']);
    t.same(offers('umbel config sh'), ['show']);
    t.same(offers('umbel multi st').toSorted(), ['start', 'stop', 'stopwait']);
    t.same(offers('umbel multi restart --roll'), ['--rolling']);
    t.same(offers('umbel multi start w1 --pidf'), ['--pidfile']);
    t.same(offers('umbel worker --concur'), ['--concurrency']);
    t.same(offers('umbel worker -P t'), ['threads']);
    t.same(offers('umbel inspect pi'), ['ping']);
    t.same(offers('umbel nothing-like-that-x'), []);
  });
}
