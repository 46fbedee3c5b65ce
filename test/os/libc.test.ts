import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { lockFile, reapChild, sendUnixDatagram } from '../../src/os/libc.ts';
import { startScript } from './script-process.ts';

t.test('a lock belongs to one open file', async (t) => {
  const path = join(t.testdir(), 'lock');
  const one = openSync(path, 'w');
  const two = openSync(path, 'w');
  t.equal(lockFile(one), 'locked');
  t.equal(lockFile(two), 'busy');
  closeSync(one);
  t.equal(lockFile(two), 'locked');
  closeSync(two);
});

t.test('what cannot be done is said, not thrown', async (t) => {
  t.equal(reapChild(1), false, 'not our child');
  t.equal(sendUnixDatagram('/nonexistent/socket', Buffer.from('x')), false);
  t.equal(sendUnixDatagram('', Buffer.from('x')), false);
  t.equal(sendUnixDatagram(`/${'x'.repeat(200)}`, Buffer.from('x')), false);
});

t.test('no warning about an experimental feature; other warnings still come', async (t) => {
  const script = startScript(
    t,
    `const { setParentDeathSignal } = await import(src + '/os/libc.ts');
     console.log('asked', setParentDeathSignal(9));
     process.emitWarning('mine');`,
  );
  await script.ended;
  t.same(script.out, ['asked true']);
  t.match(script.err.join('\n'), /Warning: mine/);
  t.notMatch(script.err.join('\n'), /FFI/);
});

t.test('without FFI everything says no', async (t) => {
  const script = startScript(
    t,
    `process.getBuiltinModule = () => undefined;
     const libc = await import(src + '/os/libc.ts');
     console.log(libc.setParentDeathSignal(9), libc.lockFile(0), libc.reapChild(1), libc.sendUnixDatagram('/x', Buffer.from('x')));`,
  );
  await script.line(/^false unavailable false false$/);
  await script.ended;
});
