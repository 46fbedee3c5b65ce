/** A socket for lines: who may use it, what is left behind, what garbage does. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { askLine, LineServer } from '../../src/driver/line-server.ts';

function place(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'umbel-line-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return join(folder, 'below', 'one.sock');
}

const upper = async (line: string): Promise<string> => line.toUpperCase();

t.test('each line has its answer; only its user may ask; nothing is left behind', async (t) => {
  const path = place(t);
  const server = new LineServer({ path, answer: upper });
  await server.start();
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.equal(statSync(join(path, '..')).mode & 0o777, 0o700);
  t.same(await Promise.all([askLine(path, 'one', 5000), askLine(path, 'zwölf', 5000)]), ['ONE', 'ZWÖLF']);
  await server.stop();
  t.throws(() => statSync(path), { code: 'ENOENT' });
  await t.rejects(askLine(path, 'one', 5000), { code: 'LOCAL_UNREACHABLE' });
  await server.stop();
});

t.test('a socket of a process that is gone is replaced, one in use and a file of another kind are not', async (t) => {
  const path = place(t);
  const first = new LineServer({ path, answer: upper });
  await first.start();
  await t.rejects(new LineServer({ path, answer: upper }).start(), { code: 'FILE_CANNOT_CREATE', message: /another process listens/ });
  t.equal(await askLine(path, 'still', 5000), 'STILL');
  await first.stop();
  const abandoned = createServer();
  await new Promise<void>((resolve) => abandoned.listen(path, resolve));
  // As after kill -9: nobody listens, the file is there.
  (abandoned as unknown as { _handle: { close(): void } })._handle.close();
  const second = new LineServer({ path, answer: upper });
  t.teardown(() => second.stop());
  await second.start();
  t.equal(await askLine(path, 'again', 5000), 'AGAIN');
  const file = `${path}.txt`;
  writeFileSync(file, 'text');
  await t.rejects(new LineServer({ path: file, answer: upper }).start(), { code: 'FILE_CANNOT_CREATE' });
});

t.test('an answer that does not come in time', async (t) => {
  const path = place(t);
  const server = new LineServer({ path, answer: () => new Promise(() => {}) });
  t.teardown(() => server.stop());
  await server.start();
  await t.rejects(askLine(path, 'anybody?', 20), { code: 'LOCAL_UNREACHABLE', message: /nothing within 0\.02 s/ });
});

t.test('two questions in one piece: both are looked at at once, and answered in their order', async (t) => {
  const path = place(t);
  let second = () => {};
  const asked = new Promise<void>((resolve) => {
    second = resolve;
  });
  // The first is answered once the second was asked, and later than that.
  const server = new LineServer({
    path,
    answer: async (line) => {
      if (line === 'two') second();
      else await asked.then(() => new Promise((resolve) => setImmediate(resolve)));
      return line.toUpperCase();
    },
  });
  t.teardown(() => server.stop());
  await server.start();
  const socket = createConnection(path, () => socket.write('one\ntwo\n'));
  t.teardown(() => socket.destroy());
  let answers = '';
  for await (const chunk of socket) {
    answers += String(chunk);
    if (answers.split('\n').length > 2) break;
  }
  t.equal(answers, 'ONE\nTWO\n');
});
