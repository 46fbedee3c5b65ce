import { spawnSync } from 'node:child_process';
import t from 'tap';

/** In a process of its own: the flags stay. */
function outcomeOf(code: string): { readonly status: number | null; readonly stderr: string } {
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
  return { status, stderr };
}

t.test('V8 knows each of the flags: one that it does not know it names on standard error', async (t) => {
  const module = new URL('../../src/os/compile-for-tasks.ts', import.meta.url);
  t.same(outcomeOf(`import { compileForTasks } from ${JSON.stringify(module)};\ncompileForTasks();`), { status: 0, stderr: '' });
  const unknown = "import { setFlagsFromString } from 'node:v8';\nsetFlagsFromString('--invocation-count-for-nothing=1');";
  t.match(outcomeOf(unknown).stderr, /invocation-count-for-nothing/);
});
