/** When what a child says goes out: at the end of the turn, or of the work in which it is said, whatever becomes of that. */
import t from 'tap';
import { ChildPort } from '../../src/child/child-port.ts';
import { FrameReader } from '../../src/ipc/frame.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function open() {
  const writes: number[][] = [];
  const reader = new FrameReader((_type, id) => writes.at(-1)?.push(id));
  const port = new ChildPort({
    write: (bytes) => {
      writes.push([]);
      reader.push(Buffer.from(bytes));
      return true;
    },
    hold: () => {},
    close: () => {},
  });
  return { writes, say: (id: number): void => port.send(1, id, 0, '', null), port };
}

t.test('one write per turn', async (t) => {
  const { writes, say } = open();
  say(1);
  say(2);
  t.strictSame(writes, []);
  await turn();
  t.strictSame(writes, [[1, 2]]);
});

t.test('gathered: out when the work is done', async (t) => {
  const { writes, say, port } = open();
  port.gather(() => {
    say(1);
    say(2);
    t.strictSame(writes, []);
  });
  t.strictSame(writes, [[1, 2]]);
  say(3);
  await turn();
  t.strictSame(writes, [[1, 2], [3]]);
});

t.test('gathered: out also when the work throws, and what is said later is not kept', async (t) => {
  const { writes, say, port } = open();
  const work = (): void => {
    say(1);
    throw new Error('broken');
  };
  t.throws(() => port.gather(work), { message: 'broken' });
  t.strictSame(writes, [[1]]);
  say(2);
  await turn();
  t.strictSame(writes, [[1], [2]]);
});
