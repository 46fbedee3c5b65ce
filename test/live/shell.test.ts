/** `umbel shell` of the executable: tasks by their names, sent and run here, workflows, results; from an argument, from standard input, on a terminal. */
import { spawnSync } from 'node:child_process';
import t from 'tap';
import { LiveFolder } from './live-folder.ts';
import { umbelBinary } from './umbel-binary.ts';

t.setTimeout(120_000);

const tasks = `
import { task } from 'umbel';
export const add = task((a: number, b: number) => a + b);
export function plain(text: string) { return text.toUpperCase(); }
export const other = task({ name: 'far.away.result' }, () => 'far');
`;

t.test('the shell', async (t) => {
  const folder = new LiveFolder(t);
  folder.write('tasks.ts', tasks);
  folder.write('umbel.toml', '[worker]\ntasks = ["tasks.ts"]\n');
  const worker = await folder.worker(['-c', '1', '-n', 'w@here']).ready();
  const shell = (code: string, ...more: string[]) => folder.umbel(['shell', '-e', code, ...more]);
  const piped = (text: string) => folder.run('bash', ['-c', 'printf "%s" "$0" | "$1" shell', text, umbelBinary]);

  await t.test('one line', async (t) => {
    t.match(await shell('await (await add.delay(2, 3)).get()'), { status: 0, stdout: '5\n', stderr: '' });
    t.match(await shell('await plain("here")'), { stdout: 'HERE\n' }, 'called, it runs here');
    t.match(await shell('(await plain.delay("there")).get()'), { stdout: 'THERE\n' }, 'a plain function is a task');
    t.match(await shell('Object.keys(tasks)'), { stdout: /'far\.away\.result'[\s\S]*'tasks\.add'[\s\S]*'tasks\.plain'/ });
    t.match(await shell('typeof result'), { stdout: 'function\n' }, 'what the shell itself brings is not hidden by a task');
    t.match(await shell('(await tasks["far.away.result"].delay()).get()'), { stdout: 'far\n' });
    t.match(await shell('(await taskHandle("tasks.add").delay(1, 1)).get()', '-T'), { stdout: '2\n' });
    t.match(await shell('typeof add', '--without-tasks'), { stdout: 'undefined\n' });
  });

  await t.test('lines of standard input: results, workflows, remote control, names that stay', async (t) => {
    const { status, stdout, stderr } = await piped(`
const sum = await chain(add.s(1, 2), add.s(10)).delay()
await sum.get()
for (const n of [1]) {
  console.log('loop', n)
}
result(sum.id).get()
(await control.broadcast('ping', { destination: ['w@here'], timeoutMs: 20000 })).map(({ nodeName, value }) => [nodeName, value])
app === celery`);
    t.same({ status, stderr }, { status: 0, stderr: '' });
    t.match(stdout, /^13\nloop 1\n13\n\[ \[ 'w@here', \{ ok: 'pong' \} \] \]\ntrue\n$/);
  });

  await t.test('what fails ends it', async (t) => {
    const { status, stdout, stderr } = await piped('1 + 1\nnobody\n3\n');
    t.same([status, stdout], [1, '2\n']);
    t.match(stderr, /^Uncaught ReferenceError: nobody is not defined/);
    t.match(await piped('function f() {\n'), { status: 1, stderr: /^Uncaught SyntaxError: the last statement is not complete\n$/ });
    t.match(await shell('1', '-A', 'nowhere.ts'), { status: 65, stderr: /nowhere\.ts/ });
  });

  const noTerminal = spawnSync('script', ['--version']).status === 0 ? false : 'script(1) is needed';
  await t.test('on a terminal', { skip: noTerminal }, async (t) => {
    // Node's history may lose a line that is followed by the end within milliseconds, which nobody types.
    const history = folder.file('.state/umbel/shell_history');
    const remembered = `for try in $(seq 600); do grep -qs delay "${history}" && break; sleep 0.05; done`;
    const typed = `printf "%s\\n" "$0"; ${remembered}; echo .exit`;
    const command = `{ ${typed}; } | script -qec '${umbelBinary} shell' /dev/null`;
    const { status, stdout } = await folder.run('bash', ['-c', command, 'await (await add.delay(20, 3)).get()']);
    t.equal(status, 0);
    t.match(stdout, /umbel .*, sqlite:.*, \d+ tasks: .*app, celery/);
    t.match(stdout, /\n\S*23\S*\r/);
    t.match(folder.read('.state/umbel/shell_history'), /await \(await add\.delay\(20, 3\)\)\.get\(\)/);
  });

  t.match(await worker.stop(), { code: 0 });
});
